"""Real applications under the real `opentelemetry-instrument`, and what an OTLP server gets from them."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

APPS = Path(__file__).parent / "apps"
BIN = Path(sys.executable).parent


def jwt(**claims):
    """Return a token as a login service would issue it; the signature is never looked at."""
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{payload}.c2lnbmF0dXJl"


def test_flask(sink, program, environment, plain):
    """Users from cookies and tokens, tracked calls, errors, events, logs, metrics and links arrive from Flask."""
    app = program(
        "flask_app.py",
        environment(
            sink.address,
            OTEL_SERVICE_NAME="shop",
            HEADGATE_USER_FROM="jwt:authorization,cookie:uid",
            HEADGATE_SESSION_FROM="cookie:sid",
        ),
    )
    with httpx.Client(base_url=app.url) as client:
        client.get("/items/book", headers={"Cookie": "uid=ann; sid=s1"})
        client.get("/items/broken", headers={"Authorization": "Bearer " + jwt(sub="bob")})
        client.post("/login", json={"user": "cat"})
        client.post("/checkout", headers={"Cookie": "uid=dan; sid=s2"})
    errors = app.stop()
    servers = [span for span in sink.spans if span.kind == 2]
    users = [plain(span).get("user.id") for span in servers]
    assert sorted(users) == ["ann", "bob", "cat", "dan", "dan"]
    by_name = {span.span_id: span for span in sink.spans}
    tracked = [span for span in sink.spans if plain(span).get("headgate.track")]
    assert [by_name[span.parent_span_id].kind for span in tracked] == [2] * 4
    assert sorted(plain(span)["user.id"] for span in tracked) == ["ann", "bob", "dan", "dan"]
    broken = next(span for span in tracked if span.status.code == 2)
    assert plain(broken)["error.type"] == "LookupError"
    assert plain(broken.events[0])["exception.message"] == "no price for broken"
    # The call from the shop to itself: client span, then server span, one trace, user by baggage.
    client_span = next(span for span in sink.spans if span.kind == 3)
    inner = next(span for span in servers if span.parent_span_id == client_span.span_id)
    assert inner.trace_id == client_span.trace_id
    assert plain(inner)["session.id"] == "s2"
    sale = next(log for log in sink.logs if log.event_name == "checkout.completed")
    assert plain(sale)["headgate.event.value"] == 42.5
    assert plain(sale)["user.id"] == "dan"
    assert sale.trace_id in {span.trace_id for span in servers}
    said = [log for log in sink.logs if log.body.string_value == "looking at book"]
    assert [plain(log)["user.id"] for log in said] == ["ann", "dan"]
    assert {metric.name for metric in sink.metrics} & {
        "http.server.duration",
        "http.server.request.duration",
    }
    assert sink.resources[0]["service.name"] == "shop"
    assert {"host.name", "process.pid", "os.type"} <= set(sink.resources[0])
    assert "Traceback" in errors  # Flask's own log of the failing request, still on stderr
    assert "looking at book" in errors  # by the last resort of `logging`
    assert "Telemetry" not in errors


def test_fastapi(sink, program, environment, plain):
    """Async endpoints keep their users apart; a user found in a sync dependency reaches the server's span."""
    app = program("fastapi_app.py", environment(sink.address, HEADGATE_USER_FROM="header:X-User"))
    with httpx.Client(base_url=app.url) as client:
        for user in ("ann", "bob"):
            client.get(f"/async/{user}", headers={"X-User": user})
        client.get("/sync/x")
        assert client.get("/fail").status_code == 500
    app.stop()
    servers = {span.name: plain(span) for span in sink.spans if span.kind == 2}
    assert servers["GET /sync/{name}"]["user.id"] == "from-dependency"
    assert "user.id" not in servers["GET /fail"]
    scores = [span for span in sink.spans if span.name.endswith("score")]
    assert sorted(plain(span)["user.id"] for span in scores) == ["ann"] * 3 + ["bob"] * 3
    parents = {span.span_id: span for span in sink.spans}
    assert {parents[span.parent_span_id].name for span in scores} == {"GET /async/{name}"}
    failed = next(span for span in sink.spans if span.name == "GET /fail")
    assert failed.status.code == 2
    events = [log for log in sink.logs if log.event_name == "scored"]
    assert [plain(log)["user.id"] for log in events] == ["ann", "bob"]


def test_django(sink, program, environment, plain):
    """Django's requests carry the user that the project's own middleware found, down to the database."""
    app = program(
        "django_app.py",
        environment(sink.address, only=("django",), DJANGO_SETTINGS_MODULE="django_settings"),
    )
    with httpx.Client(base_url=app.url) as client:
        client.get("/orders/4", headers={"X-Account": "acme"})
        assert client.get("/fail").status_code == 500
    app.stop()
    order = next(span for span in sink.spans if span.kind == 2 and "orders" in span.name)
    assert plain(order)["user.id"] == "acme"
    viewed = next(log for log in sink.logs if log.event_name == "order.viewed")
    assert plain(viewed).items() >= {"user.id": "acme", "headgate.event.value": 5.0}.items()
    assert any(span.status.code == 2 for span in sink.spans if span.kind == 2)


def test_celery(sink, environment, plain, tmp_path):
    """A queued task runs in another process for the user who queued it, in the same trace; its failure is seen."""
    env = environment(sink.address, only=("celery",), CELERY_FOLDER=str(tmp_path))
    command = [BIN / "opentelemetry-instrument", BIN / "celery", "-A", "celery_app", "worker"]
    worker = subprocess.Popen(
        [*command, "--pool=prefork", "-c", "1", "--loglevel=ERROR", "--without-mingle"],
        env=env,
        cwd=APPS,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        sent = [BIN / "opentelemetry-instrument", BIN / "python", "celery_send.py"]
        subprocess.run(sent, env=env, cwd=APPS, check=True, timeout=60)
        sink.wait(lambda got: len([span for span in got.spans if span.kind == 5]) == 2, 60)
    finally:
        worker.terminate()
        errors = worker.communicate(timeout=30)[1]
    ran = [span for span in sink.spans if span.kind == 5]
    queued = {span.span_id: span for span in sink.spans if span.kind == 4}
    assert [plain(span)["user.id"] for span in ran] == ["queuer"] * 2, errors
    assert [plain(span)["session.id"] for span in ran] == ["s-queue"] * 2
    assert {queued[span.parent_span_id].trace_id for span in ran} == {s.trace_id for s in ran}
    assert sorted(span.status.code for span in ran) == [0, 2]


def test_script(sink, environment, plain, tmp_path):
    """Everything that a script does for a user carries that user.

    Over HTTP, in the database, in threads, pools and processes, forked and spawned.
    """
    answered = []

    def answer(handler):
        answered.append(handler.headers)
        handler.send_response(200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    env = environment(sink.address, only=("requests", "httpx", "sqlalchemy"))
    done = subprocess.run(
        [BIN / "opentelemetry-instrument", BIN / "python", APPS / "script_app.py", sink.address],
        check=False,
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    short = [(span.name.rpartition(".")[2], span) for span in sink.spans]
    calls = [(name, plain(span)) for name, span in short if plain(span).get("headgate.track")]
    names = sorted(name for name, _ in calls)
    assert names == ["block", "in_pool", *["in_process"] * 3, "in_thread", "smooth", "smooth"]
    users = {(name, found.get("user.id")) for name, found in calls}
    assert {("in_thread", "scripter"), ("in_pool", "scripter"), ("block", "scripter")} <= users
    assert [found["user.id"] for name, found in calls if name == "in_process"] == ["scripter"] * 3
    good, bad = [found for name, found in calls if name == "smooth"]
    assert good["headgate.array.shape"] == ["10"]
    assert good["headgate.parameter.order"] == 3
    assert bad["error.type"]
    assert "user.id" not in bad
    clients = [plain(span) for span in sink.spans if span.kind == 3]
    assert len(clients) >= 3
    assert {found["user.id"] for found in clients} == {"scripter"}
    exposure = next(log for log in sink.logs if plain(log).get("headgate.experiment"))
    assert plain(exposure)["session.id"] == "s-script"
    assert sink.resources[0]["service.name"] == "script_app"


CONFIGURATION = """
file_format: "1.0"
resource: {attributes: [{name: service.name, value: declared}]}
propagator: {composite: [{tracecontext: {}}, {baggage: {}}]}
tracer_provider:
  processors: [{batch: {exporter: {otlp_http: {endpoint: "ADDRESS/v1/traces"}}}}]
logger_provider:
  processors: [{batch: {exporter: {otlp_http: {endpoint: "ADDRESS/v1/logs"}}}}]
"""


def test_declarative_configuration(sink, environment, plain, tmp_path):
    """With OTEL_CONFIG_FILE the file decides where data goes, and users are still on everything."""
    pytest.importorskip("opentelemetry.configuration")
    file = tmp_path / "otel.yaml"
    file.write_text(CONFIGURATION.replace("ADDRESS", sink.address))
    done = subprocess.run(
        [BIN / "opentelemetry-instrument", BIN / "python", APPS / "victim.py", "5"],
        env=environment("http://127.0.0.1:1", only=(), OTEL_CONFIG_FILE=str(file)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.returncode, done.stderr) == ("total 15\nat exit\n", 3, "")
    calls = [plain(span).get("user.id") for span in sink.spans if span.name == "__main__.work"]
    assert calls.count("u1") == 5
    assert len(calls) == 7
    assert [log.event_name for log in sink.logs if plain(log).get("user.id") == "u1"] == [
        "session.start",
        "done",
        "session.end",
    ]
    assert {resource["service.name"] for resource in sink.resources} == {"declared"}
