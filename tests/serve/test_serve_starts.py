"""A server that cannot start says why in one sentence with the remedy, and ends with exit code 2."""

from __future__ import annotations

import signal
import socket
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

FREE = {"otlp-grpc": "127.0.0.1:0", "otlp-http": "127.0.0.1:0", "api": "127.0.0.1:0"}


def options(**addresses: str) -> list[str]:
    """Return the address options, free ports where none is given."""
    chosen = {**FREE, **{name.replace("_", "-"): address for name, address in addresses.items()}}
    return [part for name, address in chosen.items() for part in (f"--{name}", address)]


def said_in_one_sentence(done) -> str:
    """Check that it failed as a command should, and return the sentence."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    return line


@pytest.fixture
def taken():
    """Yield the address of a port that somebody listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("option", ["otlp_grpc", "otlp_http", "api"])
def test_a_port_in_use_is_named_with_its_option(refused, taken, tmp_path, option):
    """Each of the three ports, gRPC's too, is not shared with whoever has it."""
    done = refused("--data", str(tmp_path), *options(**{option: taken}))
    flag = "--" + option.replace("_", "-")
    assert said_in_one_sentence(done) == (
        f"headgate: cannot listen on {taken} (Address already in use);"
        f" stop what uses it or choose another with {flag} HOST:PORT"
    )


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("no-such-host.invalid:4317", "cannot listen on no-such-host.invalid:4317 ("),
        (f"{'x' * 70}:4317", f"cannot listen on {'x' * 70}:4317 ("),
        ("192.0.2.1:4317", "cannot listen on 192.0.2.1:4317 (Cannot assign requested address)"),
        ("localhost", "invalid configuration: --otlp-grpc: 'localhost' is not HOST:PORT"),
    ],
)
def test_an_address_that_is_not_ours_is_refused(refused, tmp_path, address, reason):
    """An unknown host, a name that cannot be one, an address of another machine, and none at all."""
    done = refused("--data", str(tmp_path), *options(otlp_grpc=address), "--allow-anonymous")
    assert said_in_one_sentence(done).startswith(f"headgate: {reason}")


def test_a_data_directory_that_is_a_file_is_refused(refused, tmp_path):
    """The sentence names the path and the option to choose another."""
    (tmp_path / "file").write_text("")
    done = refused("--data", str(tmp_path / "file"), *options())
    sentence = said_in_one_sentence(done)
    assert sentence == (
        f"headgate: cannot use the data directory {tmp_path / 'file'}: File exists;"
        " choose another with --data DIR"
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("clickhouse", "cannot open the embedded store in {path}: "),
        ("journal", "cannot use the journal {path}: File exists; choose another"),
    ],
)
def test_a_file_where_a_directory_must_be_is_refused(refused, tmp_path, name, reason):
    """What the engine or the journal cannot open is told with its path, and without a stack trace."""
    (tmp_path / name).write_text("not a directory")
    sentence = said_in_one_sentence(refused("--data", str(tmp_path), *options()))
    assert sentence.startswith("headgate: " + reason.format(path=tmp_path / name))


def test_a_second_process_on_the_same_data_is_refused(refused, start):
    """It is told who has the directory, and the first goes on undisturbed."""
    first = start()
    done = refused("--data", str(first.data), *options())
    assert said_in_one_sentence(done) == (
        f"headgate: the data directory {first.data} is in use by process {first.process.pid}"
        " (server); stop it or choose another with --data DIR"
    )
    assert httpx.get(f"http://{first.api}/healthz").status_code == 200
    assert first.stop() == 0
    assert first.errors() == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("colour: red", "unknown key colour in {file}"),
        ("memory_bytes: -1", "memory_bytes in {file}: it must be greater than 0, not -1"),
        ("api: [", "the configuration {file} is not valid YAML: line 1"),
        (None, "cannot read the configuration {file}: No such file or directory"),
    ],
)
def test_a_bad_configuration_is_refused(refused, tmp_path, text, reason):
    """An unknown key, a bad value, broken YAML and a missing file are told before anything is opened."""
    file = tmp_path / "headgate.yaml"
    if text is not None:
        file.write_text(text)
    done = refused("--config", str(file), "--data", str(tmp_path / "data"), *options())
    assert reason.format(file=file) in said_in_one_sentence(done)
    assert not (tmp_path / "data").exists()


def test_a_bad_environment_is_refused(refused, tmp_path):
    """A variable is named as the user knows it, and the logging level is checked as well."""
    done = refused("--data", str(tmp_path), env={"HEADGATE_MAX_REQUEST_BYTES": "many"})
    sentence = "HEADGATE_MAX_REQUEST_BYTES: it must be a valid integer, not 'many'"
    assert said_in_one_sentence(done) == f"headgate: invalid configuration: {sentence}"
    done = refused("--data", str(tmp_path), *options(), env={"LOG_LEVEL": "loud"})
    assert said_in_one_sentence(done).startswith("headgate: LOG_LEVEL 'loud' is no level; use one")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (
            "http://127.0.0.1:1/db",
            "cannot use ClickHouse at http://127.0.0.1:1: Connection refused",
        ),
        (
            "http://user:secret@127.0.0.1:1",
            "cannot use ClickHouse at http://127.0.0.1:1: Connection",
        ),
        ("clickhouse.example", "--store 'clickhouse.example' is not a ClickHouse address"),
    ],
)
def test_a_store_that_cannot_be_reached_is_refused(refused, tmp_path, url, reason):
    """The sentence names the address, and never the password."""
    done = refused("--data", str(tmp_path), "--store", url, *options())
    sentence = said_in_one_sentence(done)
    assert sentence.startswith(f"headgate: {reason}")
    assert "secret" not in sentence


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_before_it_is_ready_is_no_failure(launch, tmp_path, number):
    """Somebody who changes their mind at once gets exit code 0, and no trace of it on either stream."""
    process = launch(tmp_path, *options())
    while not (tmp_path / "headgate.lock").exists():
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(number)
    assert process.wait(10) == 0
    assert process.stdout.read() == ""
    assert Path(f"{tmp_path}.stderr").read_text() == ""


def test_ipv6_addresses_are_told_with_brackets(start):
    """What the lock file says can be used as it is: as an address of gRPC and within a URL."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    free = ("--otlp-grpc", "[::1]:0", "--otlp-http", "[::1]:0", "--api", "[::1]:0")
    server = start(*free)
    assert all(a.startswith("[::1]:") for a in (server.grpc, server.http, server.api))
    assert httpx.post(
        server.url("traces"), headers={"content-type": "application/x-protobuf"}
    ).is_success
    assert httpx.get(f"http://{server.api}/healthz").is_success
    assert server.stop() == 0


def test_the_help_names_every_option(refused):
    """`headgate serve --help` explains itself: each option, the defaults, and how it ends."""
    done = refused("--help")
    assert done.returncode == 0
    for word in ("--config", "--data", "--store", "--otlp-grpc", "--otlp-http", "--api"):
        assert word in done.stdout
    for word in ("127.0.0.1:4317", "127.0.0.1:4318", "127.0.0.1:8686", "SIGTERM"):
        assert word in done.stdout
