"""The HTTP interface: the same answers as in-process, failures as sentences with the right status."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import one_glyph
import pytest

from headgate.queries import names, run
from headgate.queries.render import render
from headgate.web import create_app

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headgate.store import Store

NOW = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)


def insert(store: Store, service: str = "shop") -> None:
    columns = [
        "Time",
        "ServiceName",
        "Operation",
        "Kind",
        "Entry",
        "Outcome",
        "Calls",
        "CallsAdjusted",
    ]
    at = NOW.replace(second=0) - timedelta(minutes=5)
    columns += [
        "DurationSum",
        "DurationSumSquares",
        "DurationMin",
        "DurationMax",
        "DurationBuckets",
    ]
    rows = [[at, service, "buy", "Server", True, "ok", 3, 3.0, 3e6, 3e12, 10**6, 10**6, {637: 3}]]
    store.client().insert("usage_minute", rows, column_names=columns)


async def get(
    store: Store,
    path: str,
    flush: Callable[[], bool | None] = lambda: None,
    **options: Any,
) -> httpx.Response:
    app = create_app(store, flush=flush, clock=lambda: NOW, **options)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path)


@pytest.fixture
def ask(store: Store) -> Callable[..., httpx.Response]:
    def ask_(path: str, **options: Any) -> httpx.Response:
        return asyncio.run(get(store, path, **options))

    return ask_


def test_rows_come_in_pages(store: Store, ask: Callable[..., httpx.Response]) -> None:
    """Following Link from the first page yields every row once, in order; each says which and of how many (EXP-05)."""
    for name in "abcde":
        insert(store, name)
    path = "/api/reports/usage?since=7d"
    every = [row["service"] for row in ask(path).json()["rows"]]
    found, url, pages = [], f"{path}&page_rows=2", []
    while url:
        response = ask(url)
        document = response.json()
        found += [row["service"] for row in document["rows"]]
        pages.append((document["page"]["offset"], document["page"]["rows"]))
        assert document["page"]["total"] == int(response.headers["x-total-count"]) == 5
        url = response.links.get("next", {}).get("url", "").removeprefix("http://test")
    assert found == every == list("abcde")
    assert pages == [(0, 2), (2, 2), (4, 1)]
    assert response.links["prev"]["url"].endswith("offset=2&page_rows=2")
    assert ask(f"{path}&offset=99").json()["rows"] == []
    assert len(ask(f"{path}&page_rows=2&offset=1&format=csv").text.splitlines()) == 3
    assert "page" not in ask(path).json()
    for wrong in ("page_rows=0", "page_rows=x", "offset=-1", "page_rows=1000000"):
        assert ask(f"{path}&{wrong}").status_code == 400


def test_a_table_alone_and_how_much_of_it_can_be_asked_for(
    store: Store, ask: Callable[..., httpx.Response]
) -> None:
    """`table` chooses what a CSV holds, `rows` how much of a table people read; what cannot be is refused."""
    for name in "abc":
        insert(store, name)
    path = "/api/reports/usage?since=7d"
    assert ask(f"{path}&format=csv&table=timeline").text.startswith("period,whole,calls")
    assert "and 2 more" in ask(f"{path}&format=table&rows=1").text
    assert "more" not in ask(f"{path}&format=table&rows=0").text
    for wrong in ("format=csv&table=days", "format=html&table=timeline", "format=table&rows=x"):
        assert ask(f"{path}&{wrong}").status_code == 400


def test_reports_are_those_of_the_library(store: Store, ask: Callable[..., httpx.Response]) -> None:
    """JSON, CSV and table are what `run` and `render` give for the same question."""
    insert(store)
    for name in names():
        document = run(name, store, now=NOW, since="7d", service="shop").to_dict()
        path = f"/api/reports/{name}?since=7d&service=shop"
        for format_, media in (
            ("json", "application/json"),
            ("csv", "text/csv; charset=utf-8"),
            ("table", "text/plain; charset=utf-8"),
        ):
            response = ask(f"{path}&format={format_}")
            assert response.status_code == 200
            assert response.headers["content-type"] == media
            assert response.content == render(document, format_)
        assert ask(path).json() == json.loads(render(document, "json"))


def test_one_reads_what_one_wrote(store: Store, ask: Callable[..., httpx.Response]) -> None:
    """What is waiting to be stored is flushed before the question is asked, in a worker thread."""
    threads = []

    def flush() -> None:
        threads.append(threading.current_thread().name)
        insert(store)

    assert ask("/api/reports/usage", flush=flush).json()["summary"]["calls"] == 3
    assert threads[0].startswith("headgate-query")


def test_a_store_that_is_behind_is_said(ask: Callable[..., httpx.Response]) -> None:
    """When flushing took too long, the answer says that it may lack the latest."""
    notes = ask("/api/reports/usage", flush=lambda: False).json()["summary"]["notes"]
    assert notes == ["the store is behind: some of what was received last is not counted here yet"]


def test_paper_and_pictures_have_the_fonts_of_the_server(
    store: Store,
    ask: Callable[..., httpx.Response],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """A character that only a font of the server's directory has is shown by it; without, the log names it."""
    strange = "\U0001e8c4"
    insert(store, strange)
    (tmp_path / "one.ttf").write_bytes(one_glyph.font(strange))
    paths = [f"/api/reports/usage?format={kind}" for kind in ("png&chart=2", "pdf")]
    lacking = [ask(path).content for path in paths]
    assert [record.getMessage()[:35] for record in caplog.records] == [
        "png of usage: no font here has U+1E8C4"[:35],
        "pdf of usage: no font here has U+1E8C4"[:35],
    ]
    caplog.clear()
    shown = [ask(path, fonts=tmp_path).content for path in paths]
    assert not caplog.records
    assert shown[0].startswith(b"\x89PNG")
    assert shown[0] != lacking[0]
    embedded = [
        one_glyph.FAMILY.replace(" ", "").encode() in paper for paper in (lacking[1], shown[1])
    ]
    assert embedded == [False, True]


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/api/reports/usag", 404, "did you mean 'usage'?"),
        ("/api/reports/usage?since=soon", 400, "since 'soon' is not a time"),
        ("/api/reports/usage?since=1h&until=2h", 400, "is not before until"),
        ("/api/reports/usage?service=shp", 400, "did you mean 'shop'?"),
        ("/api/reports/usage?limit=3", 400, "no parameter 'limit'"),
        ("/api/reports/errors?limit=x", 400, "limit 'x' is not possible"),
        ("/api/reports/usage?where=x", 400, "write where=key=value"),
        ("/api/reports/usage?since=1h&since=2h", 400, "'since' cannot be given, or not twice"),
        ("/api/reports/usage?now=1h", 400, "'now' cannot be given"),
        ("/api/reports/usage?format=xml", 400, "choose one of: csv, html, json"),
        ("/api/reports/usage?width=-1", 400, "width '-1' is not possible"),
        ("/nothing", 404, "Not Found"),
    ],
)
def test_failures_are_sentences(
    store: Store, ask: Callable[..., httpx.Response], path: str, status: int, says: str
) -> None:
    """Every failure is {"error": sentence}; 404 for what does not exist, 400 for what cannot be asked."""
    insert(store)
    response = ask(path)
    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert says in response.json()["error"]


def test_defects_do_not_leak(
    store: Store, ask: Callable[..., httpx.Response], caplog: pytest.LogCaptureFixture
) -> None:
    """What nobody expected is logged with its trace, and answered by 500 without it."""

    def flush() -> None:
        raise ZeroDivisionError("secret")

    response = ask("/api/reports/usage", flush=flush)
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "secret" in caplog.text


def test_the_rest_of_the_interface(ask: Callable[..., httpx.Response]) -> None:
    """Health, and the list of reports with their questions."""
    assert ask("/healthz").json() == {"status": "ok"}
    listed = ask("/api/reports").json()["reports"]
    assert [report["name"] for report in listed] == names()
    assert all(report["question"].endswith("?") for report in listed)
    assert "limit" in listed[0]["params"]


def test_questions_run_side_by_side_in_few_threads(store: Store) -> None:
    """Twelve questions at once are all answered, by at most the pool's threads, each with its own handle."""
    insert(store)
    used = set()

    def flush() -> None:
        used.add(threading.current_thread().name)

    app = create_app(store, flush=flush, clock=lambda: NOW)

    async def many() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await asyncio.gather(*(client.get("/api/reports/usage") for _ in range(12)))

    responses = asyncio.run(many())
    assert {response.json()["summary"]["calls"] for response in responses} == {3}
    assert 1 <= len(used) <= 4


def test_the_pool_is_shut_down_with_the_application(store: Store) -> None:
    """A server that ends leaves no query thread behind."""
    app = create_app(store, flush=lambda: None, clock=lambda: NOW)

    async def life() -> None:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                assert (await client.get("/api/reports/usage")).status_code == 200

    before = {t.ident for t in threading.enumerate()}
    asyncio.run(life())
    left = [t for t in threading.enumerate() if t.ident not in before]
    assert not [t for t in left if t.name.startswith("headgate-query")]
