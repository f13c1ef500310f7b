"""From real applications into the tables: who did what, in which session, and how it ended, as Headgate stores it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from headgate.collector import log_uses, span_uses
from headgate.instrumentation import attributes as names
from headgate.instrumentation.experiments import assign
from headgate.store import find_server
from headgate.store.identity import IdentityRules

APPS = Path(__file__).parent / "apps"
ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
WORKER = ("--pool=solo", "--loglevel=INFO", "--without-mingle")
READ = """
import json, sys
from pathlib import Path
from headgate.store import acquire, embedded_store
directory = acquire(Path(sys.argv[1]), role="reader", wait_s=10)
client = embedded_store(directory.engine_path).client()
for query in sys.argv[2:]:
    result = client.query(query)
    print(json.dumps([dict(zip(result.column_names, row)) for row in result.result_rows], default=str))
directory.close()
"""
USES = """SELECT Kind, ServiceName, Operation, Outcome, UserId, SessionId, ErrorType, ErrorMessage, Value,
    Duration, hex(Fingerprint) AS Fingerprint FROM events ORDER BY Timestamp"""
SPANS = """SELECT ServiceName, SpanName, SpanKind, TraceId, SpanId, ParentSpanId,
    SpanAttributes['user.id'] AS User FROM otel_traces"""


@pytest.fixture(scope="module")
def stored(
    tmp_path_factory: pytest.TempPathFactory, environment: Any
) -> dict[str, list[dict[str, Any]]]:
    """Run every application once against a real `headgate serve`, end it, and return what its tables hold."""
    folder = tmp_path_factory.mktemp("stored")
    server = subprocess.Popen(
        [BIN / "headgate", "serve", "--data", folder / "data"]
        + [
            part
            for flag in ("--otlp-grpc", "--otlp-http", "--api")
            for part in (flag, "127.0.0.1:0")
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        address = _address(folder / "data")
        _drive(address, folder, environment)
    finally:
        server.terminate()
        said = server.communicate(timeout=60)[0]
    assert server.returncode == 0, said
    done = subprocess.run(
        [sys.executable, "-c", READ, folder / "data", USES, SPANS],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    uses, spans = (json.loads(line) for line in done.stdout.splitlines())
    return {"uses": uses, "spans": spans}


def _address(data: Path) -> str:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if data.exists() and (found := find_server(data)):
            return "http://" + found["otlp_http"].removeprefix("http://")
        time.sleep(0.1)
    raise AssertionError("headgate serve did not start")


NEEDED = {
    "flask": ("flask", "requests"),
    "fastapi": ("fastapi",),
    "django": ("django",),
    "script": ("requests", "httpx", "sqlalchemy"),
    "celery": ("celery",),
}


def _drive(address: str, folder: Path, environment: Any) -> None:
    def of(service: str, **extra: str) -> dict[str, str]:
        made: dict[str, str] = environment(
            address,
            only=NEEDED[service],
            OTEL_SERVICE_NAME=service,
            HEADGATE_USER_FROM="header:x-account",
            # A busy machine may need longer than the two seconds that a user would wait for.
            HEADGATE_EXIT_TIMEOUT="20",
            **extra,
        )
        return made

    wrapped = [BIN / "opentelemetry-instrument", BIN / "python"]
    for script, service, paths in (
        ("flask_app.py", "flask", ["/items/book", "/items/broken"]),
        ("fastapi_app.py", "fastapi", ["/async/ann", "/sync/x", "/fail"]),
        ("django_app.py", "django", ["/orders/4", "/fail"]),
    ):
        app = subprocess.Popen(
            [*wrapped, APPS / script],
            env=of(service, DJANGO_SETTINGS_MODULE="django_settings"),
            cwd=APPS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        url = f"http://127.0.0.1:{app.stdout.readline().strip()}"
        with httpx.Client(base_url=url, headers={"X-Account": f"{service}-user"}) as client:
            for path in paths:
                client.get(path)
            if service == "flask":
                client.post("/checkout")
        app.communicate("\n", timeout=60)
        assert app.returncode == 0
    subprocess.run(
        [*wrapped, APPS / "script_app.py", address],
        env=of("script"),
        cwd=folder,
        check=True,
        timeout=120,
    )
    doctor = [BIN / "python", "-m", "headgate.instrumentation", "doctor"]
    subprocess.run(doctor, env=environment(address), check=True, timeout=60, capture_output=True)
    queue = of("celery", CELERY_FOLDER=str(folder))
    worker = subprocess.Popen(
        [wrapped[0], BIN / "celery", "-A", "celery_app", "worker", *WORKER],
        env=queue,
        cwd=APPS,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    subprocess.run([*wrapped, "celery_send.py"], env=queue, cwd=APPS, check=True, timeout=60)
    # The worker says on stderr how each task ended.
    seen = 0
    for line in worker.stderr:
        seen += "raised unexpected" in line or "succeeded in" in line
        if seen == 2:
            break
    worker.terminate()
    worker.communicate(timeout=60)
    _drive_document(address, folder)


def _drive_document(address: str, folder: Path) -> None:
    """Run the very code of the how-to page, as a reader would."""
    page = (ROOT / "docs/how-to/events-from-other-languages.md").read_text()
    library, program = re.findall(r"^```js\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (command,) = re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    environment = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": address,
        "OTEL_SERVICE_NAME": "node",
    }
    if shutil.which("node"):
        (folder / "headgate.mjs").write_text(library)
        (folder / "program.mjs").write_text(program)
        ran = subprocess.run(
            ["node", "program.mjs"],
            env=environment,
            cwd=folder,
            check=True,
            timeout=60,
            capture_output=True,
            text=True,
        )
        assert ran.stdout.strip() == assign("new-search", "u1", {"control": 0.5, "b": 0.5})
    if shutil.which("curl"):
        subprocess.run(["bash", "-ec", command], env=environment, check=True, timeout=60)


def uses(stored, **wanted):
    """Return the uses that have these values."""
    return [row for row in stored["uses"] if wanted.items() <= row.items()]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_flask_is_stored(stored):
    """User, outcome, error and value of Flask's requests, calls and events are in their columns."""
    (bought,) = uses(stored, ServiceName="flask", Operation="checkout.completed")
    assert (bought["Kind"], bought["UserId"], bought["Value"]) == ("event", "flask-user", 42.5)
    prices = uses(stored, ServiceName="flask", Operation="__main__.price")
    assert sorted(row["Outcome"] for row in prices) == ["error", "ok", "ok", "ok"]
    failed = next(row for row in prices if row["Outcome"] == "error")
    assert failed["ErrorType"] == "LookupError"
    assert failed["ErrorMessage"] == "no price for broken"
    assert failed["Fingerprint"] != "0000000000000000"
    requests = uses(stored, ServiceName="flask", Operation="GET /items/<item>")
    assert {row["UserId"] for row in requests} == {"flask-user"}
    assert sorted(row["Outcome"] for row in requests) == ["error", "ok", "ok"]
    assert all(row["Duration"] > 0 for row in requests)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_check_is_no_use(stored):
    """What the doctor sends is stored as a span, and counts as a use of nothing."""
    assert [row["SpanName"] for row in stored["spans"] if row["ServiceName"] == "headgate-doctor"]
    assert not uses(stored, ServiceName="headgate-doctor")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_fastapi_is_stored(stored):
    """Async requests and tracked coroutines are uses of whoever asked."""
    assert len(uses(stored, ServiceName="fastapi", Operation="__main__.score")) == 3
    (request,) = uses(stored, ServiceName="fastapi", Operation="GET /sync/{name}")
    assert request["UserId"] == "from-dependency"
    (failed,) = uses(stored, ServiceName="fastapi", Operation="GET /fail")
    assert (failed["Outcome"], failed["UserId"]) == ("error", "fastapi-user")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_django_is_stored(stored):
    """A Django request, its event and its failure carry the account."""
    (viewed,) = uses(stored, ServiceName="django", Operation="order.viewed")
    assert (viewed["UserId"], viewed["Value"]) == ("django-user", 5.0)
    outcomes = [row["Outcome"] for row in uses(stored, ServiceName="django", Kind="span")]
    assert sorted(outcomes) == ["error", "ok"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_script_and_its_processes_are_stored(stored):
    """Tracked calls in threads and processes are uses of one user in one session."""
    rows = [row for row in uses(stored, ServiceName="script") if row["UserId"] == "scripter"]
    operations = {row["Operation"].rpartition(".")[2] for row in rows}
    assert {"smooth", "in_thread", "in_pool", "in_process", "block", "evaluation"} <= operations
    assert {row["SessionId"] for row in rows} == {"s-script"}
    assert len([row for row in rows if row["Operation"].endswith("in_process")]) == 3


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_worker_is_stored(stored):
    """A queued task is a use of the user who queued it, linked to where it was queued."""
    ran = uses(stored, ServiceName="celery", Operation="run/celery_app.convert")
    assert sorted(row["Outcome"] for row in ran) == ["error", "ok"]
    assert {(row["UserId"], row["SessionId"]) for row in ran} == {("queuer", "s-queue")}
    spans = {row["SpanId"]: row for row in stored["spans"]}
    consumers = [row for row in stored["spans"] if row["SpanKind"] == "Consumer"]
    assert [spans[row["ParentSpanId"]]["SpanKind"] for row in consumers] == ["Producer"] * 2


@pytest.mark.slow
@pytest.mark.node
@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_events_from_node_are_stored(stored):
    """The how-to page's JavaScript, without any package, stores events with user, session and value."""
    rows = uses(stored, ServiceName="node", Kind="event")
    assert [(row["Operation"], row["UserId"], row["Value"]) for row in rows] == [
        ("checkout.completed", "ann", 42.0),
        ("headgate.nps", "ann", 9.0),
        ("feature_flag.evaluation", "u1", None),
    ]
    assert rows[0]["SessionId"] == "s1"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_an_event_from_a_shell_is_stored(stored):
    """The how-to page's shell command stores an event."""
    (row,) = uses(stored, ServiceName="backup")
    assert (row["Operation"], row["UserId"], row["Value"]) == ("backup.done", "cron", 1.5)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_parents_are_linked(stored):
    """Every parent that is named is stored too, in the same trace, across services and processes."""
    spans = {row["SpanId"]: row for row in stored["spans"]}
    # The doctor's span names a parent that is nowhere, so as not to be an entry.
    asked = [row for row in stored["spans"] if row["ServiceName"] != "headgate-doctor"]
    children = [row for row in asked if row["ParentSpanId"]]
    assert len(children) > 10
    for row in children:
        assert spans[row["ParentSpanId"]]["TraceId"] == row["TraceId"], row


def test_names_match_what_the_collector_promotes():
    """The names written here are those that the collector makes columns of."""
    assert {names.ERROR_TYPE, names.TRACK} <= set(span_uses.WANTED)
    assert names.EVENT_VALUE in log_uses.WANTED
    rules = IdentityRules()
    assert (rules.user[0], rules.session[0]) == (names.USER_ID, names.SESSION_ID)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_local_files_can_be_imported(tmp_path, environment):
    """A library's local telemetry, loaded by `headgate import`, gives the same uses as if it had been sent."""
    folder = {"HEADGATE_TELEMETRY_DIR": str(tmp_path / "files")}
    victim = subprocess.run(
        [BIN / "python", APPS / "victim.py", "20"],
        env=environment("", HEADGATE_TELEMETRY="local", **folder),
        check=False,
    )
    assert victim.returncode == 3
    files = sorted((tmp_path / "files").iterdir())
    subprocess.run(
        [BIN / "headgate", "import", "--data", tmp_path / "data", *files],
        check=True,
        capture_output=True,
    )
    done = subprocess.run(
        [sys.executable, "-c", READ, tmp_path / "data", USES],
        check=True,
        capture_output=True,
        text=True,
    )
    rows = json.loads(done.stdout)
    calls = [row for row in rows if row["Operation"] == "__main__.work"]
    assert len(calls) == 22
    assert [row["UserId"] for row in calls].count("u1") == 20
    assert {row["ServiceName"] for row in rows} == {"__main__"}
    (sum_of_all,) = [row["Value"] for row in rows if row["Operation"] == "done"]
    assert sum_of_all == 210.0
