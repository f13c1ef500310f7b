"""Exports as jobs over HTTP: asked for, watched, downloaded, kept, noted, and failed when they fail."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from headgate.web import ExportJobs, create_app

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.store import Store

EXPORTS = sys.modules[ExportJobs.__module__]
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Client:
    """Calls an application in this process."""

    def __init__(self, application: Any) -> None:
        self._transport = httpx.ASGITransport(application)

    def __getattr__(self, method: str) -> Any:
        async def call(path: str, **options: Any) -> httpx.Response:
            async with httpx.AsyncClient(
                transport=self._transport, base_url="http://test"
            ) as client:
                return await client.request(method, path, **options)

        return lambda path, **options: asyncio.run(call(path, **options))


def app(store: Store, place: Path, now: datetime = NOW) -> Client:
    numbers = iter(range(100))
    jobs = ExportJobs(
        place, store, clock=lambda: now, new_id=lambda: f"job{next(numbers)}-{now:%d}"
    )
    return Client(create_app(store, flush=lambda: True, clock=lambda: now, exports=jobs))


def finished(client: Client, job: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while job["state"] in {"queued", "processing"} and time.monotonic() < deadline:
        time.sleep(0.02)
        job = client.get(f"/api/exports/{job['id']}").json()
    return job


@pytest.fixture
def filled(store: Store) -> Store:
    rows = [[NOW - timedelta(hours=i + 1), "shop", f"op{i}"] for i in range(48)]
    store.client().insert("events", rows, column_names=["Timestamp", "ServiceName", "Operation"])
    return store


def test_a_job_from_order_to_download(filled: Store, tmp_path: Path) -> None:
    """Queued -> completed with rows, bytes and 100 %; the file is what was stored; a line in the audit log."""
    client = app(filled, tmp_path)
    order = {"kind": "events", "fields": ["Operation"], "since": "24h"}
    answer = client.post("/api/exports", json=order)
    assert answer.status_code == 202
    assert answer.json()["state"] in {"queued", "processing", "completed"}
    job = finished(client, answer.json())
    assert (job["state"], job["rows"], job["percent"]) == ("completed", 24, 100)
    file = client.get(f"/api/exports/{job['id']}/file")
    assert (
        file.headers["content-disposition"]
        == 'attachment; filename="headgate-events-2026-11-20.csv"'
    )
    assert len(file.content) == job["bytes"]
    assert file.text.splitlines()[1:] == [f'"op{i}"' for i in reversed(range(24))]
    noted = filled.client().query("SELECT Action, Object, Rows, Detail FROM audit").result_rows
    assert noted[0][:3] == ("export", "events 2026-11-19T12:00:00Z 2026-11-20T12:00:00Z", 24)
    assert json.loads(noted[0][3])["state"] == "completed"
    assert client.delete(f"/api/exports/{job['id']}").status_code == 204
    assert client.get(f"/api/exports/{job['id']}").status_code == 404
    assert list(tmp_path.iterdir()) == []


def test_a_job_says_what_has_expired(filled: Store, tmp_path: Path) -> None:
    """Its notes name the table and the time, also after a restart; a job of what is kept has none."""
    client = app(filled, tmp_path)
    short, long = (
        finished(
            client, client.post("/api/exports", json={"kind": "traces", "since": since}).json()
        )
        for since in ("1d", "30d")
    )
    assert short["notes"] == []
    says = ["otel_traces keeps rows since 2026-11-13 12:00 UTC: older ones have expired"]
    assert long["notes"] == says
    assert app(filled, tmp_path).get(f"/api/exports/{long['id']}").json()["notes"] == says


def test_jobs_outlive_the_server_for_90_days(filled: Store, tmp_path: Path) -> None:
    """A completed job can be downloaded after a restart, an interrupted one is failed, an old one goes."""
    client = app(filled, tmp_path)
    job = finished(client, client.post("/api/exports", json={"kind": "events"}).json())
    broken = {**{k: v for k, v in job.items() if k != "file"}, "id": "half", "state": "processing"}
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "job.json").write_text(json.dumps(broken))
    again = app(filled, tmp_path, NOW + timedelta(days=1))
    states = {found["id"]: found["state"] for found in again.get("/api/exports").json()["exports"]}
    assert states == {job["id"]: "completed", "half": "failed"}
    assert again.get(f"/api/exports/{job['id']}/file").status_code == 200
    assert again.get("/api/exports/half/file").status_code == 409
    late = app(filled, tmp_path, NOW + timedelta(days=91))
    new = finished(late, late.post("/api/exports", json={"kind": "events", "since": "365d"}).json())
    assert [found["id"] for found in late.get("/api/exports").json()["exports"]] == [new["id"]]


def test_what_is_removed_while_it_is_made_stops_and_holds_nobody_up(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that is deleted meanwhile leaves nothing, neither of itself nor in the way of the next."""
    client = app(filled, tmp_path)
    order = {"kind": "events", "fields": ["Operation"], "since": "24h"}
    made = EXPORTS.write

    def removing(store: Store, chosen: Any, path: Path, report: Any) -> Any:
        assert client.delete(f"/api/exports/{path.parent.name}").is_success
        return made(store, chosen, path, report)

    monkeypatch.setattr(EXPORTS, "write", removing)
    first = client.post("/api/exports", json=order).json()
    deadline = time.monotonic() + 60
    while list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list(tmp_path.iterdir()) == []
    assert client.get(f"/api/exports/{first['id']}").status_code == 404
    monkeypatch.setattr(EXPORTS, "write", made)
    assert finished(client, client.post("/api/exports", json=order).json())["state"] == "completed"


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ({"kind": "nothing"}, "nothing to export called 'nothing'"),
        ({"kind": "events", "fields": ["x"]}, "no field 'x'"),
        ({"kind": "events", "since": "soon"}, "since 'soon' is not a time"),
        ({"kind": "events", "timezone": "Mars"}, "'Mars' is no time zone"),
        ({"kind": "events", "rows": 5}, "rows: Extra inputs are not permitted"),
        ({}, "kind: Field required"),
    ],
)
def test_a_bad_order_is_refused_in_words(
    filled: Store, tmp_path: Path, order: dict[str, Any], says: str
) -> None:
    """400 and a sentence; nothing is queued."""
    client = app(filled, tmp_path)
    answer = client.post("/api/exports", json=order)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert client.get("/api/exports").json() == {"exports": []}


def test_a_failed_job_says_why(filled: Store, tmp_path: Path) -> None:
    """The table goes away between the order and the work: failed, with the store's reason."""
    client = app(filled, tmp_path)
    filled.client().command("RENAME TABLE events TO gone")
    filled.client().command("CREATE VIEW events AS SELECT *, throwIf(1) AS Bad FROM gone")
    job = finished(client, client.post("/api/exports", json={"kind": "events"}).json())
    assert job["state"] == "failed"
    assert "broke off, nothing is left of it" in job["error"]
    assert job["file"] is None
