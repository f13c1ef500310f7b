"""Coverage-guided fuzzing of everything that reads a request's bytes, with atheris: `make fuzz`.

    python tests/fuzz/fuzz_receive.py [protobuf|json|gzip|zstd] [libFuzzer options, -max_total_time=600 say]

What must hold for any bytes: a request is taken or refused by one of our errors, never by another; what the check takes
is what protobuf takes (text that is not UTF-8 apart) and can be processed; of a request with bad items the rest is
valid and has none; what is decompressed stays within the limit; the room is as empty afterwards as before.
"""

from __future__ import annotations

import contextlib
import gzip as gzip_
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import atheris
from backports import zstd as zstd_

# Kernels are compiled code, whose coverage nobody sees: what leads the way into protobuf is `guide` below.
with atheris.instrument_imports(
    include=[f"headgate.collector.{name}" for name in ("otlp_json", "partial", "receive")]
):
    from headgate.collector.otlp_json import to_protobuf
    from headgate.collector.partial import split
    from headgate.collector.receive import Received

from headgate.collector.check import REQUESTS, check
from headgate.collector.errors import Permanent
from headgate.collector.faults import faults
from headgate.collector.process import Request, process
from headgate.collector.room import Room
from headgate.collector.signals import Signal

sys.path.insert(0, str(Path(__file__).parents[1]))
import otlp_examples
import twin_values
from google.protobuf.message import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 1 << 20
SIGNALS = list(Signal)


@atheris.instrument_func
def guide(descriptor: Any, body: bytes, depth: int = 0) -> None:
    """Read a message as far as it goes, in steps whose coverage shows which fields an input has reached."""
    at = 0
    while at < len(body):
        tag, at = body[at], at + 1
        field = descriptor.fields_by_number.get(tag >> 3)
        if field is not None:
            REACHED[field.full_name]()
        if tag & 7 == 2 and at < len(body):
            size, at = body[at], at + 1
            if size & 0x80 and at < len(body):
                size, at = size & 0x7F | body[at] << 7, at + 1
            if field is not None and field.message_type is not None and depth < 12:
                guide(field.message_type, body[at : at + size], depth + 1)
            at += size
        else:
            at += {0: 1, 1: 8, 5: 4}.get(tag & 7, len(body))


def _reached() -> dict[str, Callable[[], None]]:
    """Return a function of its own for each field, so that calling it is coverage of its own."""
    found = list(REQUESTS.values())
    for descriptor in found:
        inner = (field.message_type for field in descriptor.fields if field.message_type)
        found += [each for each in dict.fromkeys(inner) if each not in found]
    names = (field.full_name for descriptor in found for field in descriptor.fields)
    return {name: atheris.instrument_func(eval("lambda: None")) for name in names}  # noqa: S307


REACHED = _reached()


def protobuf(data: bytes) -> None:
    """Take the first byte for the signal, the rest for a request."""
    signal, body = SIGNALS[data[0] % 3] if data else SIGNALS[0], data[1:]
    guide(REQUESTS[signal], body)
    try:
        items = check(signal, body)
    except Permanent:
        return
    try:
        twin_values.LENIENT[signal].FromString(body)
    except DecodeError as error:
        raise AssertionError("taken, but protobuf refuses it") from error
    good, partial = split(signal, body)
    assert faults(signal, good) == 0
    assert bool(faults(signal, body)) or not partial.message
    assert check(signal, good) + partial.rejected <= items
    process([Request(signal, good, check(signal, good), 1)])


def json(data: bytes) -> None:
    """Take what is made of JSON for a request."""
    signal, text = SIGNALS[data[0] % 3] if data else SIGNALS[0], data[1:]
    try:
        body = to_protobuf(signal, text)
    except Permanent:
        return
    protobuf(bytes([SIGNALS.index(signal)]) + body)


def _compressed(encoding: str, data: bytes) -> None:
    received = Received(Room(1 << 30), LIMIT)
    with contextlib.suppress(Permanent):
        assert len(received.plain(encoding, data)) <= LIMIT
    assert received.room.used == received.held
    received.drop()
    assert received.room.used == 0


def gzip(data: bytes) -> None:
    """Decompress."""
    _compressed("gzip", data)


def zstd(data: bytes) -> None:
    """Decompress."""
    _compressed("zstd", data)


TARGETS = {target.__name__: target for target in (protobuf, json, gzip, zstd)}


def _requests() -> list[bytes]:
    return [bytes([number]) + otlp_examples.BODIES[s] for number, s in enumerate(SIGNALS)]


def _documents() -> list[bytes]:
    cases = Path(__file__).parents[1].rglob("request.json")
    return [bytes([n]) + case.read_bytes() for case in sorted(cases) for n in range(3)]


SEEDS = {
    "protobuf": _requests,
    "json": _documents,
    "gzip": lambda: [gzip_.compress(each) for each in _requests()],
    "zstd": lambda: [zstd_.compress(each) for each in _requests()],
}


def main() -> None:
    """Run one target from the examples of the tests and what earlier runs have left in .fuzz/."""
    name = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1] in TARGETS else "protobuf"
    corpus = Path(".fuzz") / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[name]()):
        TARGETS[name](seed)
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup([*sys.argv, f"-artifact_prefix={corpus}-", str(corpus)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
