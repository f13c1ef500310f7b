"""TLS: client certificates on every listener, renewal without a restart, and no start that is less safe than asked."""

from __future__ import annotations

import signal
import socket
import ssl
import stat
import subprocess
import time
from pathlib import Path

import grpc
import httpx
import pytest
import trustme

from headgate.cli.children import HEADGATE
from headgate.cli.listening import check_public, listen_locally
from headgate.cli.settings import ConfigurationError, ServeSettings
from headgate.store import find_server

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PROTOBUF = {"content-type": "application/x-protobuf"}


class Files:
    """A server's certificate and key, and the CA of its clients, in a directory."""

    def __init__(self, directory):
        self.directory = directory
        self.ca, self.clients = trustme.CA(), trustme.CA()
        self.clients.cert_pem.write_to_path(directory / "clients.pem")
        self.issue()

    def issue(self) -> None:
        made = self.ca.issue_cert("127.0.0.1")
        made.private_key_pem.write_to_path(self.directory / "key.pem")
        (self.directory / "cert.pem").write_bytes(made.cert_chain_pems[0].bytes())

    @property
    def settings(self):
        names = {"tls_cert": "cert.pem", "tls_key": "key.pem", "tls_client_ca": "clients.pem"}
        return {key: str(self.directory / name) for key, name in names.items()}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return Files(tmp_path_factory.mktemp("mtls"))


@pytest.fixture(scope="module")
def server(start, files):
    return start(config=files.settings)


def trusting(files, client: trustme.LeafCert | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    files.ca.configure_trust(context)
    if client:
        client.configure_cert(context)
    return context


def grpc_channel(server, files, client: trustme.LeafCert | None) -> grpc.Channel:
    pair = (None, None)
    if client:
        pair = client.private_key_pem.bytes(), client.cert_chain_pems[0].bytes()
    return grpc.secure_channel(
        server.grpc, grpc.ssl_channel_credentials(files.ca.cert_pem.bytes(), *pair)
    )


@pytest.mark.parametrize("who", ["of our CA", "of another CA", "nobody"])
def test_only_clients_with_a_certificate_are_served(server, files, who):
    """OTLP over HTTP and gRPC and the API: one of the given CA is served, all others end in the handshake."""
    issuer = {"of our CA": files.clients, "of another CA": files.ca, "nobody": None}[who]
    client = issuer and issuer.issue_cert("client@example.org")
    served = who == "of our CA"
    with httpx.Client(verify=trusting(files, client)) as http:
        for url, method in (
            (f"https://{server.http}/v1/traces", "POST"),
            (f"https://{server.api}/healthz", "GET"),
        ):
            if served:
                assert http.request(method, url, headers=PROTOBUF).status_code == 200
            else:
                with pytest.raises((httpx.TransportError, ssl.SSLError)):
                    http.request(method, url, headers=PROTOBUF)
    with grpc_channel(server, files, client) as channel:
        call = channel.unary_unary(TRACES)
        if served:
            assert call(b"", timeout=10) == b""
        else:
            with pytest.raises(grpc.RpcError) as caught:
                call(b"", timeout=10)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "Traceback" not in server.errors()


def test_a_handshake_that_does_not_end_does_not_stay(start, files):
    """It has the time of a request."""
    server = start(config={**files.settings, "receive_s": 1})
    host, _, port = server.http.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"\x16\x03\x01")
        assert connection.recv(100) == b""


@pytest.mark.parametrize("command", [["status"], ["ledger"], ["report", "usage"]])
def test_commands_on_this_machine_need_no_certificate(server, command):
    """They come through a socket that only the owner of the data directory may use."""
    found = find_server(server.data)
    assert stat.S_IMODE(Path(found["socket"]).stat().st_mode) == 0o600
    done = subprocess.run(
        [*HEADGATE, *command, "--data", server.data],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_stop_leaves_no_socket(start, files):
    """Nor a word on standard error."""
    server = start(config=files.settings)
    local = Path(find_server(server.data)["socket"])
    assert local.exists()
    assert server.stop() == 0
    assert not local.exists()
    assert server.errors() == ""


def test_a_socket_that_cannot_be_is_told(tmp_path, caplog):
    """Its path may be too long for the system: the server starts without it."""
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    assert listen_locally(deep) is None
    assert "cannot ask the server" in caplog.text


def serial(server, files, address: str) -> int:
    host, _, port = address.rpartition(":")
    context = trusting(files, files.clients.issue_cert("client@example.org"))
    context.check_hostname = False
    with (
        socket.create_connection((host, int(port))) as connection,
        context.wrap_socket(connection) as secured,
    ):
        return int(secured.getpeercert()["serialNumber"], 16)


def test_a_renewed_certificate_is_used_after_a_sighup(server, files):
    """On every listener, for new connections; files that do not belong together change nothing."""
    addresses = (server.http, server.api, server.grpc)
    before = {serial(server, files, address) for address in addresses}
    assert len(before) == 1
    files.issue()

    def renewed() -> set[int]:
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while (found := {serial(server, files, address) for address in addresses}) & before:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return found

    after = renewed()
    assert len(after) == 1
    key = files.directory / "key.pem"
    good = key.read_bytes()
    files.ca.issue_cert("127.0.0.1").private_key_pem.write_to_path(key)
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while "the certificate stays as it is" not in server.errors():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert {serial(server, files, address) for address in addresses} == after
    key.write_bytes(good)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tls_key": None}, "tls_key is missing: TLS takes tls_cert and tls_key, both PEM files"),
        ({"tls_cert": None}, "tls_cert is missing"),
        ({"tls_key": "clients.pem"}, "tls_cert: "),
        ({"tls_cert": "nowhere.pem"}, "No such file or directory; give PEM files"),
        ({"tls_client_ca": "key.pem"}, "tls_client_ca: "),
    ],
)
def test_tls_that_cannot_be_had_stops_the_start(refused, files, tmp_path, settings, said):
    """Exit code 2 and one sentence, never plain text instead."""
    chosen = dict(files.settings)
    for key, name in settings.items():
        chosen.pop(key)
        if name:
            chosen[key] = str(files.directory / name)
    config = tmp_path / "headgate.yaml"
    config.write_text("".join(f"{key}: {value}\n" for key, value in chosen.items()))
    done = refused("--config", str(config), "--data", str(tmp_path / "data"))
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("option", ["--otlp-grpc", "--otlp-http", "--api"])
def test_no_public_listener_without_a_token(refused, tmp_path, option):
    """Exit code 2, with both remedies in one sentence; no port opens."""
    done = refused(option, "0.0.0.0:0", "--data", str(tmp_path / "data"))
    assert done.returncode == 2
    assert done.stderr == (
        f"headgate: {option} 0.0.0.0:0 can be reached from other machines, and everybody there could send and read"
        " everything: make a token with `headgate token create`, or allow that with --allow-anonymous\n"
    )
    assert done.stdout == ""


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "[::]", "192.0.2.1", "[2001:db8::1]", "[::ffff:192.0.2.1]"],  # noqa: S104  # refused
)
def test_every_address_but_loopback_is_public(host):
    """Whatever its family; a token, a client CA or the explicit word allows it."""
    settings = ServeSettings(api=f"{host}:1")
    with pytest.raises(ConfigurationError, match="can be reached from other machines"):
        check_public(settings, asks=False)
    check_public(settings, asks=True)
    check_public(settings.model_copy(update={"allow_anonymous": True}), asks=False)
    for own in ("127.0.0.1", "127.9.9.9", "[::1]", "localhost"):
        check_public(ServeSettings(api=f"{own}:1"), asks=False)
