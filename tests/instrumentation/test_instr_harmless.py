"""Whatever happens to telemetry, the program's output, exit code and pace are its own; at most one warning is said."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

APPS = Path(__file__).parent / "apps"
BIN = Path(sys.executable).parent
EXIT_S = 2.0


@pytest.fixture
def nowhere():
    """Return the address of a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def silent():
    """Yield the address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def accept():
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def reply(status, body=b"", **headers):
    """Return what answers a request so."""

    def answer(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def cut(handler):
    """Break off in the middle of an answer."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Len")
    handler.connection.shutdown(socket.SHUT_RDWR)


def noise(handler):
    """Answer with something that is not HTTP."""
    handler.wfile.write(bytes(range(256)))
    handler.connection.shutdown(socket.SHUT_RDWR)


def slow(handler):
    """Answer later than the program wants to wait."""
    time.sleep(5)
    reply(200)(handler)


ANSWERS = {
    "refuses": reply(400, b"no"),
    "unauthorized": reply(401),
    "fails": reply(500),
    "overloaded": reply(503, Retry_After="3600"),
    "redirects": reply(302, Location="http://127.0.0.1:1/"),
    "cut": cut,
    "noise": noise,
    "garbage": reply(200, b"\x00\xff" * 5000, Content_Type="application/x-protobuf"),
    "slow": slow,
}


def run(environment, *command, seconds=60, cwd=None):
    """Run a program to its end and return it with the time it took."""
    began = time.monotonic()
    done = subprocess.run(
        command,
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return done, time.monotonic() - began


def unharmed(done, took):
    """Assert that the victim did what it does without telemetry, in the time it is allowed."""
    assert done.stdout == "total 20100\nat exit\n", done.stderr
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) <= 1, done.stderr
    # The SDK alone would wait for half a minute for each signal; starting takes long on a busy machine.
    assert took < EXIT_S + 28


def instrument(environment, address, *arguments, **extra):
    """Run the victim under opentelemetry-instrument."""
    command = (BIN / "opentelemetry-instrument", BIN / "python", APPS / "victim.py", *arguments)
    return run(environment(address, only=(), **extra), *command)


def test_without_instrumentation(environment):
    """The victim's behaviour, for comparison."""
    unharmed(*run(environment("http://127.0.0.1:1"), BIN / "python", APPS / "victim.py"))


def test_nobody_listens(environment, nowhere):
    """A collector that is down costs one warning, and no waiting at exit."""
    done, took = instrument(environment, nowhere)
    unharmed(done, took)
    assert "the application is not affected" in done.stderr


@pytest.mark.slow
def test_a_silent_collector(environment, silent):
    """A collector that never answers costs no more than the time allowed at exit."""
    unharmed(*instrument(environment, silent))


@pytest.mark.parametrize("how", ANSWERS)
def test_a_bad_collector(environment, sink, how):
    """A collector that answers badly costs one warning at most."""
    sink.answer = ANSWERS[how]
    unharmed(*instrument(environment, sink.address))


@pytest.mark.parametrize(
    "extra",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "not an address"},
        {"OTEL_TRACES_SAMPLER": "headgate_ratio", "OTEL_TRACES_SAMPLER_ARG": "often"},
        {"OTEL_PROPAGATORS": "headgate"},
        {"HEADGATE_USER_FROM": "nonsense,header:", "HEADGATE_EXIT_TIMEOUT": "soon"},
        {"OTEL_SDK_DISABLED": "true"},
        {"DO_NOT_TRACK": "1"},
        {"HEADGATE_TELEMETRY": "off"},
    ],
    ids=lambda extra: next(iter(extra)) + "=" + next(iter(extra.values())),
)
def test_odd_settings(environment, sink, extra):
    """A setting that makes no sense, or turns things off, leaves the program alone."""
    unharmed(*instrument(environment, sink.address, **extra))


def test_do_not_track_sends_nothing(environment, sink):
    """With DO_NOT_TRACK=1 not one request leaves the process."""
    unharmed(*instrument(environment, sink.address, DO_NOT_TRACK="1"))
    assert sink.requests == 0


def test_everything_arrives_when_all_is_well(environment, sink):
    """What is recorded up to the last exit handler is delivered, with every instrumentation that there is."""
    command = (BIN / "opentelemetry-instrument", BIN / "python", APPS / "victim.py")
    # What arrives must not depend on how busy the machine is.
    patient = environment(sink.address, HEADGATE_EXIT_TIMEOUT="30")
    unharmed(*run(patient, *command))
    assert len([span for span in sink.spans if span.name == "__main__.work"]) == 202


def test_library_telemetry_at_exit(environment, tmp_path, sink):
    """Without opentelemetry-instrument too, files and an address of the user's own get everything."""
    command = (BIN / "python", APPS / "victim.py")
    folder = {"HEADGATE_TELEMETRY_DIR": str(tmp_path)}
    unharmed(*run(environment("", HEADGATE_TELEMETRY="local", **folder), *command))
    lines = "".join(file.read_text() for file in tmp_path.glob("traces-*"))
    assert lines.count('"name":"__main__.work"') == 202
    unharmed(*run(environment("", HEADGATE_TELEMETRY=sink.address, **folder), *command))
    assert len([span for span in sink.spans if span.name == "__main__.work"]) == 202


def test_library_telemetry_with_nobody_listening(environment, nowhere):
    """An address where nobody listens costs a library's user one warning at most."""
    unharmed(*run(environment("", HEADGATE_TELEMETRY=nowhere), BIN / "python", APPS / "victim.py"))


@pytest.mark.slow
def test_forks_and_processes(environment, sink):
    """Children end as they would, and what they tracked arrives unless they leave by os._exit."""
    command = (BIN / "opentelemetry-instrument", BIN / "python", APPS / "forker.py")
    quiet = environment(
        sink.address,
        only=(),
        # Newer interpreters warn of every fork of a process that has threads.
        PYTHONWARNINGS="ignore::DeprecationWarning",
        # What arrives must not depend on how busy the machine is.
        HEADGATE_EXIT_TIMEOUT="30",
    )
    bare, _ = run(quiet, BIN / "python", APPS / "forker.py")
    done, _ = run(quiet, *command)
    assert (done.stdout, done.returncode) == (bare.stdout, 0)
    assert done.stdout == "[5, 5, 0, 0, 0, 4, 4, 4, 4]\n"
    assert done.stderr == ""
    # parent, sys.exit after a fork, and three kinds of multiprocessing.
    assert len([span for span in sink.spans if span.name.endswith(".work")]) >= 5


def test_installed_twice(environment, sink):
    """A program that configures its own OpenTelemetry, or ours again, is not recorded twice."""
    code = """
from opentelemetry.instrumentation.auto_instrumentation import initialize
from headgate.instrumentation import track
initialize()
initialize()
@track
def once(): pass
once()
"""
    command = (BIN / "opentelemetry-instrument", BIN / "python", "-c", code)
    done, _ = run(environment(sink.address, only=()), *command)
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) <= 1, done.stderr
    assert len([span for span in sink.spans if span.name == "__main__.once"]) == 1


LOGGING = """
import logging, sys
EXTRA
logging.getLogger("shop").warning("once")
alone = logging.getLogger("alone")
alone.propagate = False
alone.addHandler(logging.NullHandler())
alone.warning("not passed on")
print("fine")
"""
HANDLER = """
from opentelemetry._logs import get_logger_provider
from opentelemetry.instrumentation.logging.handler import LoggingHandler
logging.getLogger().addHandler(LoggingHandler(logger_provider=get_logger_provider()))
"""
AGAIN = """
from opentelemetry.instrumentation.auto_instrumentation import initialize
for name in [name for name in sys.modules if name.startswith("headgate.")]:
    del sys.modules[name]
initialize()
"""
STOCK = {"OTEL_PYTHON_DISTRO": "distro", "OTEL_PYTHON_CONFIGURATOR": "configurator"}
SENDERS = {
    "ours": ("", {}),
    "ours, initialized and imported again": (AGAIN, {}),
    "ours and opentelemetry's": ("", {"OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION": "true"}),
    "ours and the sdk's": ("", {"OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": "true"}),
    "ours and the application's": (HANDLER, {}),
    "stock": ("", STOCK),
    "stock without its logging": (
        "",
        {**STOCK, "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "logging"},
    ),
    "stock without ours": (
        "",
        {**STOCK, "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "headgate_logging"},
    ),
}


@pytest.mark.parametrize("sender", SENDERS)
def test_logs_are_sent_once(environment, sink, sender):
    """Whoever else sends what is logged, each record arrives once."""
    extra, settings = SENDERS[sender]
    settings = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", **settings}
    code = LOGGING.replace("EXTRA", extra)
    command = (BIN / "opentelemetry-instrument", BIN / "python", "-c", code)
    done, _ = run(environment(sink.address, only=("logging",), **settings), *command)
    assert (done.stdout, done.returncode) == ("fine\n", 0), done.stderr
    said = [log.body.string_value for log in sink.logs]
    assert said.count("once") == 1
    # OpenTelemetry's handler sits on the root logger, where this record does not get.
    assert said.count("not passed on") == (sender != "stock without ours")


def test_imported_again(environment, sink):
    """Reloading the package, as some servers do, does no harm."""
    code = """
import importlib, sys
import headgate.instrumentation as first
for name in [name for name in sys.modules if name.startswith("headgate.instrumentation")]:
    del sys.modules[name]
import headgate.instrumentation as second
for package in (first, second):
    with package.session(user="u"), package.tracked("again"): package.event("x")
importlib.reload(second)
print("fine")
"""
    command = (BIN / "opentelemetry-instrument", BIN / "python", "-c", code)
    done, _ = run(environment(sink.address, only=()), *command)
    assert (done.stdout, done.returncode, done.stderr) == ("fine\n", 0, "")


def test_callbacks_that_fail(environment, sink, program):
    """A callback of the application that raises, or does not exist, is not the application's problem."""
    import httpx

    app = program(
        "flask_app.py",
        environment(
            sink.address,
            only=("flask",),
            HEADGATE_USER_FROM="call:flask_app:missing,call:no_such_module:f,header:X-User",
        ),
    )
    answer = httpx.get(app.url + "/items/book", headers={"X-User": "ann"})
    assert answer.json() == {"price": 42.5}
    app.stop()
    assert {span.name for span in sink.spans if span.kind == 2} == {"GET /items/<item>"}


SERVERS = {
    "gunicorn": ["-w", "2", "--log-level=error", "-b", "127.0.0.1:PORT", "flask_app:app"],
    "uvicorn": ["--workers=2", "--log-level=error", "--port=PORT", "fastapi_app:app"],
}
PATHS = {"gunicorn": "items/book", "uvicorn": "async/book"}


@pytest.mark.parametrize("name", SERVERS)
def test_server_workers(environment, sink, plain, name):
    """Workers of real servers, forked or spawned, send all they have when they are told to stop, metrics too."""
    import httpx

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    arguments = [argument.replace("PORT", str(port)) for argument in SERVERS[name]]
    server = subprocess.Popen(
        [BIN / "opentelemetry-instrument", BIN / name, *arguments],
        # Longer than the test, so that only what is delivered at the end arrives.
        env=environment(
            sink.address,
            only=("flask", "fastapi"),
            HEADGATE_USER_FROM="header:X-User",
            OTEL_BSP_SCHEDULE_DELAY="60000",
            HEADGATE_EXIT_TIMEOUT="30",
        ),
        cwd=APPS,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with httpx.Client(transport=httpx.HTTPTransport(retries=8)) as client:
            for number in range(20):
                answer = client.get(
                    f"http://127.0.0.1:{port}/{PATHS[name]}", headers={"X-User": f"u{number}"}
                )
                assert answer.status_code == 200
    finally:
        server.terminate()
        errors = server.communicate(timeout=30)[1]
    assert server.returncode == 0
    assert "Telemetry" not in errors
    served = [plain(span)["user.id"] for span in sink.spans if span.kind == 2]
    assert sorted(served) == sorted(f"u{number}" for number in range(20))
    durations = [metric for metric in sink.metrics if metric.name == "http.server.duration"]
    points = [point for metric in durations for point in metric.histogram.data_points]
    assert sum(point.count for point in points) == 20
    # Exemplars lead from a metric to a trace.
    traces = {span.trace_id for span in sink.spans}
    assert {example.trace_id for point in points for example in point.exemplars} <= traces
    assert any(point.exemplars for point in points)


@pytest.mark.slow
def test_memory_is_bounded_with_the_collector_down(environment, nowhere):
    """Forty thousand calls that nobody takes do not pile up."""
    code = """
import psutil, sys
from headgate.instrumentation import track
@track
def call(): pass
for _ in range(10_000): call()
before = psutil.Process().memory_info().rss
for _ in range(30_000): call()
print((psutil.Process().memory_info().rss - before) // 1024)
"""
    command = (BIN / "opentelemetry-instrument", BIN / "python", "-c", code)
    done, _ = run(environment(nowhere, only=()), *command)
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) <= 1
    assert int(done.stdout) < 12_000
