"""`headgate serve`: the collector, its store and its API in one process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003  # typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Any

import typer
import uvloop

from headgate.cli.reload import Reload
from headgate.cli.rules import rules_of
from headgate.cli.settings import ServeSettings, flag, join_address, load, split_address
from headgate.store import StoreError, acquire, default_data_directory, embedded_store, server_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import uvicorn

    from headgate.collector.pipeline import Pipeline
    from headgate.collector.rules import Rules
    from headgate.collector.sampling import Sampler
    from headgate.store import DataDirectory, Store

SHUTDOWN_S = 6.0
"""How long a stop may take: half for answering those who wait, half for storing what was accepted."""

KEEP_ALIVE_S = 75
"""How long an idle HTTP connection is kept: longer than exporters wait between batches."""

_CLOSE_S = 1.0
_DEADLINE_S = 9.5


def serve(
    config: Annotated[
        Path | None, typer.Option(help="Settings file (YAML), see otel-config/headgate.yaml.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Directory of the journal and the embedded store. [default: per-user data directory]"
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(help="ClickHouse server instead: http://user:password@host:8123/database."),
    ] = None,
    otlp_grpc: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="OTLP/gRPC. [default: 127.0.0.1:4317]")
    ] = None,
    otlp_http: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="OTLP/HTTP. [default: 127.0.0.1:4318]")
    ] = None,
    api: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Reports over HTTP. [default: 127.0.0.1:8686]"),
    ] = None,
) -> None:
    """Receive OpenTelemetry over OTLP, count and store it, and answer reports.

    Listens on loopback only unless told otherwise; port 0 picks a free port. Prints one line when ready.
    SIGTERM or Ctrl-C: accepts nothing more, stores what was accepted, ends. SIGHUP: reads the settings again.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        # Until we are ready nothing is accepted, and a kill harms neither the engine nor the lock.
        signal.signal(number, lambda *_: os._exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nothing to read again yet
    _log_to_stderr(os.environ)
    flags = {
        "data": data, "store": store, "otlp_grpc": otlp_grpc, "otlp_http": otlp_http, "api": api,
    }  # fmt: skip

    def read() -> ServeSettings:
        return load(flags, config, os.environ)

    settings = read()
    rules = rules_of(settings)
    directory, opened = _open_store(settings)
    try:
        _serve(settings, rules, directory, opened, read)
        _leave_within(_CLOSE_S, 0)
    finally:
        opened.close()
        directory.close()
    # The engine's own threads may outlive us by seconds; everything is closed, so leave at once.
    sys.stdout.flush()
    os._exit(0)


def _log_to_stderr(environ: Mapping[str, str]) -> None:
    name = environ.get("LOG_LEVEL") or "WARNING"
    level = logging.getLevelNamesMapping().get(name.upper())
    if level is None:
        known = ", ".join(logging.getLevelNamesMapping())
        raise StoreError(f"LOG_LEVEL {name!r} is no level; use one of {known}")
    logging.basicConfig(level=level, format="%(levelname)s %(message)s")
    if level >= logging.WARNING:  # these log what they also raise, and we tell that in our words
        for library in ("clickhouse_connect", "urllib3"):
            logging.getLogger(library).setLevel(logging.ERROR)


def _leave_within(seconds: float, code: int) -> None:
    """End the process even if it hangs: closing the store, say, waits for queries, and those may take any time."""
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()


def _open_store(settings: ServeSettings) -> tuple[DataDirectory, Store]:
    """Own the data directory (also with a server: it holds the lock file) and open the store."""
    path = settings.data or default_data_directory(os.environ)
    directory = acquire(path, "server", wait_s=10.0)
    # The embedded engine's client writes what it inserts to temporary files: to the user's directory, not a shared one.
    tempfile.tempdir = str(directory.scratch())
    try:
        opened = (
            server_store(settings.store)
            if settings.store
            else embedded_store(directory.engine_path)
        )
    except StoreError:
        directory.close()
        raise
    return directory, opened


def _listen(address: str, name: str) -> socket.socket:
    """Return a listening socket; raises StoreError when the address cannot be had."""
    host, port = split_address(address)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except (OSError, UnicodeError) as error:  # the latter: a name that cannot be a host's
        raise _cannot_listen(address, name, error) from error
    return listener


def _cannot_listen(address: str, name: str, error: Exception) -> StoreError:
    reason = (isinstance(error, OSError) and error.strerror) or error
    return StoreError(
        f"cannot listen on {address} ({reason}); stop what uses it or choose another with"
        f" {flag(name)} HOST:PORT"
    )


def _serve(
    settings: ServeSettings,
    rules: Rules,
    directory: DataDirectory,
    store: Store,
    read: Callable[[], ServeSettings],
) -> None:
    """Run until told to stop; what cannot be stored in time then waits in the journal for the next start.

    `read` reads the settings again, for a reload.
    """
    listeners = {name: _listen(getattr(settings, name), name) for name in ("otlp_http", "api")}
    # gRPC binds by itself, later and with less to say when it cannot.
    _listen(settings.otlp_grpc, "otlp_grpc").close()

    from headgate.collector.allocator import give_back_memory, keep_freed_memory
    from headgate.collector.grpc_receiver import GrpcReceiver
    from headgate.collector.pipeline import Limits, Pipeline
    from headgate.collector.release import sync_file_system
    from headgate.collector.sampling import Sampler
    from headgate.collector.warmup import compiled, warm_up
    from headgate.store import migrate
    from headgate.store.identity import write_identity

    keep_freed_memory()
    migrate(store)
    write_identity(store, rules.identity.public, datetime.now(UTC))
    if not compiled():
        typer.echo("compiling, once for this version: about half a minute", err=True)
    warm_up()
    journal = directory.path / "journal"
    with _told_as_a_sentence(journal):
        sampler = (
            Sampler(
                journal,
                settings.sampling.policy(),
                new_id=lambda: secrets.token_hex(16),
                monotonic_s=time.monotonic,
            )
            if settings.sampling.enabled
            else None
        )
        pipeline = Pipeline(
            store,
            journal,
            clock_ns=time.time_ns,
            monotonic_s=time.monotonic,
            new_id=lambda: secrets.token_hex(16),
            # A server makes durable what it acknowledges, as its own settings say.
            make_durable=lambda: sync_file_system(directory.path) if store.embedded else None,
            when_idle=give_back_memory,
            limits=Limits(memory_bytes=settings.memory_bytes, journal_bytes=settings.journal_bytes),
            rules=rules,
            sampler=sampler,
        )
    host, port = split_address(settings.otlp_grpc)
    try:
        grpc_receiver = GrpcReceiver(
            lambda _: pipeline,
            pipeline.room,
            host,
            port,
            settings.max_request_bytes,
            receive_s=settings.receive_s,
        )
    except OSError as error:
        raise _cannot_listen(settings.otlp_grpc, "otlp_grpc", error) from error
    with _told_as_a_sentence(journal):
        pipeline.start()
    addresses = {
        "otlp_grpc": join_address(host, grpc_receiver.port),
        **{name: join_address(*listener.getsockname()[:2]) for name, listener in listeners.items()},
    }

    def ready() -> None:
        grpc_receiver.start()
        _ready(directory, addresses)

    def stopping() -> None:
        _leave_within(_DEADLINE_S, 1)  # whatever hangs: what was acknowledged is in the journal
        grpc_receiver.stop(SHUTDOWN_S / 2)

    # Not asyncio.run: it would wait for the threads of queries that still run.
    loop = uvloop.new_event_loop()
    reload = Reload(settings, read, sampler)
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        loop.run_until_complete(
            _serve_http(
                settings,
                rules,
                store,
                directory.path,
                pipeline,
                sampler,
                listeners,
                ready,
                stopping,
            )
        )
    finally:
        grpc_receiver.stop(SHUTDOWN_S / 2).wait()
        pipeline.close(SHUTDOWN_S / 2)
        loop.close()


@contextlib.contextmanager
def _told_as_a_sentence(journal: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot use the journal {journal}: {error.strerror or error};"
            " choose another data directory with --data DIR"
        ) from error


def _ready(directory: DataDirectory, addresses: dict[str, str]) -> None:
    directory.announce(addresses)
    print(  # noqa: T201  # the one line that a server prints
        "headgate is ready: OTLP/gRPC {otlp_grpc}, OTLP/HTTP {otlp_http}, API http://{api}".format(
            **addresses
        ),
        f"data {directory.path}",
        sep=", ",
        flush=True,
    )


async def _serve_http(
    settings: ServeSettings,
    rules: Rules,
    store: Store,
    directory: Path,
    pipeline: Pipeline,
    sampler: Sampler | None,
    listeners: dict[str, socket.socket],
    ready: Callable[[], object],
    stopping: Callable[[], object],
) -> None:
    """Serve OTLP/HTTP and the API until SIGTERM or SIGINT; call `ready` and `stopping` at their times."""
    import uvicorn

    from headgate.collector.http_protocol import LimitedProtocol, close_late
    from headgate.collector.http_receiver import HttpReceiver
    from headgate.collector.vitals import vitals
    from headgate.web import ExportJobs, create_app
    from headgate.web.forget import forget_user

    began_s = time.monotonic()

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # signals are ours: two servers share this process

    def server(app: Any) -> uvicorn.Server:
        return Server(
            uvicorn.Config(
                app,
                http=LimitedProtocol,
                ws="none",
                log_level="error",  # what clients do wrong is answered and counted
                timeout_keep_alive=KEEP_ALIVE_S,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=int(SHUTDOWN_S / 2),
            )
        )

    api = create_app(
        store,
        flush=pipeline.flush,
        clock=lambda: datetime.now(UTC),
        look=lambda: vitals(
            [pipeline],
            pipeline.room,
            now_ns=time.time_ns(),
            uptime_s=time.monotonic() - began_s,
        ),
        exports=ExportJobs(
            directory / "exports",
            store,
            clock=lambda: datetime.now(UTC),
            new_id=lambda: secrets.token_hex(16),
        ),
        sampler=sampler,
        forgetting=lambda user, by: forget_user(
            store,
            rules.identity,
            user,
            by=by,
            now=datetime.now(UTC),
            flush=pipeline.flush,
            journal=directory / "journal",
        ),
    )
    otlp = HttpReceiver(
        lambda _: pipeline, pipeline.room, settings.max_request_bytes, settings.receive_s
    )
    servers = {"otlp_http": server(otlp), "api": server(api)}

    def stop() -> None:
        stopping()
        for running in servers.values():
            running.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    tasks = [
        asyncio.create_task(running.serve(sockets=[listeners[name]]))
        for name, running in servers.items()
    ]
    starting = servers.values()
    # uvicorn offers a flag, not an event.
    while not (all(s.started for s in starting) or any(t.done() for t in tasks)):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    ready()
    sweeps = [
        asyncio.create_task(close_late(running.server_state.connections, settings.receive_s))
        for running in servers.values()
    ]
    await asyncio.gather(*tasks)
    for sweep in sweeps:
        sweep.cancel()
