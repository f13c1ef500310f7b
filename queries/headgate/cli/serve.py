"""`headgate serve`: the collector, its store and its API in one process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path  # noqa: TC003  # typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer
import uvloop

from headgate.cli.address import join_address, split_address
from headgate.cli.listening import (
    SOCKET_NAME,
    address_of,
    announce,
    cannot_listen,
    listen,
    listen_locally,
)
from headgate.cli.reload import Reload
from headgate.cli.rules import rules_of
from headgate.cli.security import Security, secure
from headgate.cli.settings import ServeSettings, load
from headgate.cli.stderr import log_to_stderr
from headgate.store import default_data_directory
from headgate.store.owned import own_store

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from headgate.cli.senders import Senders
    from headgate.cli.siblings import Siblings
    from headgate.collector.rules import Rules
    from headgate.collector.tenants import Tenants
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
    allow_anonymous: Annotated[
        bool | None,
        typer.Option(
            "--allow-anonymous", help="Let other machines send and read everything without a token."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that receive; more than one need --store. [default: 1]"),
    ] = None,
    worker: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Receive OpenTelemetry over OTLP, count and store it, and answer reports.

    Listens on loopback only unless told otherwise; port 0 picks a free port. Prints one line when ready.
    SIGTERM or Ctrl-C: accepts nothing more, stores what was accepted, ends. SIGHUP: reads the settings again.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        # Until we are ready nothing is accepted, and a kill harms neither the engine nor the lock.
        signal.signal(number, lambda *_: os._exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nothing to read again yet
    log_to_stderr(os.environ)
    flags = {
        "data": data, "store": store, "otlp_grpc": otlp_grpc, "otlp_http": otlp_http, "api": api,
        "allow_anonymous": allow_anonymous, "workers": workers,
    }  # fmt: skip

    def read() -> ServeSettings:
        return load(flags, config, os.environ)

    settings = read()
    rules = rules_of(settings)
    security = secure(settings)
    if settings.workers > 1 and worker is None:
        from headgate.cli.workers import run_workers

        sys.exit(run_workers(settings, config))
    path = settings.data or default_data_directory(os.environ)
    directory, opened = own_store(path, "server", 10.0, settings.store)
    # The embedded engine's client writes what it inserts to temporary files: to the user's directory, not a shared one.
    tempfile.tempdir = str(directory.scratch())
    try:
        _serve(settings, rules, security, directory, opened, read, worker)
        _leave_within(_CLOSE_S, 0)
    finally:
        opened.close()
        directory.close()
    # The engine's own threads may outlive us by seconds; everything is closed, so leave at once.
    sys.stdout.flush()
    os._exit(0)


def _leave_within(seconds: float, code: int) -> None:
    """End the process even if it hangs: closing the store waits for queries, and those may take any time."""
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()


def _serve(
    settings: ServeSettings,
    rules: Rules,
    security: Security,
    directory: DataDirectory,
    store: Store,
    read: Callable[[], ServeSettings],
    worker: int | None,
) -> None:
    """Run until told to stop; what cannot be stored in time then waits in the journal for the next start.

    `read` reads the settings again, for a reload. `worker` is its number where it is one of several.
    """
    shared = worker is not None
    listeners = _listen(settings, directory, shared=shared)

    from headgate.cli.collecting import look_at, open_tenants
    from headgate.cli.own_telemetry import begin_telemetry
    from headgate.cli.senders import Senders
    from headgate.cli.siblings import siblings_of
    from headgate.collector.allocator import keep_freed_memory
    from headgate.collector.descriptors import connections_each
    from headgate.collector.grpc_receiver import GrpcReceiver
    from headgate.collector.warmup import compiled, warm_up

    keep_freed_memory()
    connections = connections_each()
    if not compiled():
        typer.echo("compiling, once for this version: about half a minute", err=True)
    warm_up()
    telemetry = begin_telemetry(settings, lambda: look_at(tenants))
    observer = telemetry.stored if telemetry else None
    tenants = open_tenants(settings, rules, directory, store, observer)
    senders = Senders(security.tokens, tenants)
    host, port = split_address(settings.otlp_grpc)
    try:
        grpc_receiver = GrpcReceiver(
            senders,
            tenants.own.room,
            host,
            port,
            settings.max_request_bytes,
            receive_s=settings.receive_s,
            most_connections=connections,
            shared=shared,
            credentials=security.certificates and security.certificates.grpc(),
        )
    except OSError as error:
        tenants.close(0)
        raise cannot_listen(settings.otlp_grpc, "otlp_grpc", error) from error
    addresses = {
        "otlp_grpc": join_address(host, grpc_receiver.port),
        **{name: address_of(listener) for name, listener in listeners.items()},
    }

    def ready() -> None:
        grpc_receiver.start()
        announce(directory, addresses, security.announcement())

    def stopping() -> None:
        _leave_within(_DEADLINE_S, 1)  # whatever hangs: what was acknowledged is in the journal
        grpc_receiver.stop(SHUTDOWN_S / 2)

    # Not asyncio.run: it would wait for the threads of queries that still run.
    loop = uvloop.new_event_loop()
    reload = Reload(settings, read, tenants.samplers, security.certificates)
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        loop.run_until_complete(
            _serve_http(
                settings,
                rules,
                security,
                store,
                directory.path,
                siblings_of(directory.path, settings.workers, worker),
                senders,
                tenants,
                listeners,
                connections,
                ready,
                stopping,
            )
        )
    finally:
        grpc_receiver.stop(SHUTDOWN_S / 2).wait()
        tenants.close(SHUTDOWN_S / 2)
        loop.close()
        (directory.path / SOCKET_NAME).unlink(missing_ok=True)
        if telemetry is not None:
            telemetry.close()


def _listen(
    settings: ServeSettings, directory: DataDirectory, *, shared: bool
) -> dict[str, socket.socket]:
    """Return the sockets of OTLP/HTTP and the API, by name, and make sure of gRPC's address; raises StoreError."""
    listeners = {
        "otlp_http": listen(settings.otlp_http, "otlp_http", shared=shared),
        "api": listen(settings.api, "api"),
    }
    # gRPC binds by itself, later and with less to say when it cannot.
    listen(settings.otlp_grpc, "otlp_grpc", shared=shared).close()
    # Who has no client certificate, as commands on this machine, comes by a socket.
    local = listen_locally(directory.path) if settings.tls_client_ca else None
    return {**listeners, **({"socket": local} if local else {})}


async def _serve_http(
    settings: ServeSettings,
    rules: Rules,
    security: Security,
    store: Store,
    directory: Path,
    siblings: Siblings,
    senders: Senders,
    tenants: Tenants,
    listeners: dict[str, socket.socket],
    connections: int,
    ready: Callable[[], object],
    stopping: Callable[[], object],
) -> None:
    """Serve OTLP/HTTP and the API until SIGTERM or SIGINT; call `ready` and `stopping` at their times."""
    from headgate.cli.answering import guarded_api
    from headgate.cli.api_server import ApiServers
    from headgate.collector.http_receiver import HttpReceiver

    certificates = security.certificates
    api = ApiServers(
        guarded_api(security.tokens, tenants, rules, store, directory, siblings, settings.fonts),
        certificates,
        keep_alive_s=KEEP_ALIVE_S,
        most_connections=connections,
        grace_s=int(SHUTDOWN_S / 2),
    )
    otlp = HttpReceiver(
        senders,
        tenants.own.room,
        settings.max_request_bytes,
        receive_s=settings.receive_s,
        keep_alive_s=KEEP_ALIVE_S,
        most_connections=connections,
    )
    ended = asyncio.Event()

    def stop() -> None:
        stopping()
        ended.set()
        api.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    context = certificates.context if certificates else None
    await otlp.listen(listeners["otlp_http"], context)
    receiving = asyncio.create_task(otlp.serve_until(ended, SHUTDOWN_S / 2))
    await api.listen(listeners["api"])
    if "socket" in listeners:
        await api.listen(listeners["socket"], local=True)
    ready()
    sweep = asyncio.create_task(api.close_late(settings.receive_s))
    await asyncio.gather(receiving, *api.tasks)
    sweep.cancel()
