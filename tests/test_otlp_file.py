"""Files of OTLP requests are read whole, told apart by themselves, and damage costs only itself."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.collector.errors import Malformed
from headgate.collector.otlp_file import Damage, Layout, Request, items, layout_of, read
from headgate.collector.otlp_json import REQUESTS, to_protobuf
from headgate.collector.signals import Signal

TIME = "1700000000000000000"


def spans(*names: str) -> dict:
    made = [
        {"traceId": "0a" * 16, "spanId": "0b" * 8, "name": n, "startTimeUnixNano": TIME}
        for n in names
    ]
    return {"resourceSpans": [{"scopeSpans": [{"spans": made}]}]}


def logs(*bodies: str) -> dict:
    made = [{"timeUnixNano": TIME, "body": {"stringValue": b}} for b in bodies]
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": made}]}]}


def metrics(kind: str, name: str) -> dict:
    points = {"dataPoints": [{"timeUnixNano": TIME}, {"timeUnixNano": TIME}]}
    made = [{"name": name, kind: points}, {"name": "no data"}]
    return {"resourceMetrics": [{"scopeMetrics": [{"metrics": made}]}]}


DOCUMENTS = [
    (Signal.TRACES, spans("a", "b")),
    (Signal.LOGS, logs("x")),
    *[
        (Signal.METRICS, metrics(kind, name))
        for kind in ("gauge", "sum", "histogram", "exponentialHistogram", "summary")
        for name in ("short", "sixteen-byte-nam")
    ],
]
BODIES = [(signal, to_protobuf(signal, json.dumps(d).encode())) for signal, d in DOCUMENTS]


def lines(*documents: dict) -> bytes:
    return b"".join(json.dumps(d).encode() + b"\n" for d in documents)


def frames(*bodies: bytes) -> bytes:
    return b"".join(len(b).to_bytes(4, "big") + b for b in bodies)


def outcome(path, signal=None):
    """Split what a file yields into (signal, body) pairs and damage."""
    found = list(read(path, signal))
    taken = [(r.signal, r.body) for r in found if isinstance(r, Request)]
    return taken, [d for d in found if isinstance(d, Damage)]


@pytest.fixture(params=["", ".gz"], ids=["plain", "gzip"])
def write(request, tmp_path):
    """Write bytes to a file, compressed or not, and return its path."""

    def to_file(content: bytes):
        path = tmp_path / f"data.any{request.param}"
        path.write_bytes(gzip.compress(content) if request.param else content)
        return path

    return to_file


def test_json_lines(write):
    """Lines of all signals come out in order as protobuf, blank lines and a bare end aside."""
    path = write(lines(*[d for _, d in DOCUMENTS]).replace(b"\n", b"\n\n", 1).rstrip())
    assert layout_of(path) is Layout.LINES
    assert outcome(path) == (BODIES, [])


def test_json_document(write):
    """A file that is one indented document is one request, as in the protocol's own examples."""
    path = write(json.dumps(spans("a", "b"), indent=2).encode())
    assert layout_of(path) is Layout.DOCUMENT
    assert outcome(path) == (BODIES[:1], [])


def test_frames(write):
    """Requests after four-byte lengths come out in order, each with the signal it holds."""
    path = write(frames(*[body for _, body in BODIES], b""))
    assert layout_of(path) is Layout.FRAMES
    assert outcome(path) == (BODIES, [])


@pytest.mark.parametrize(("signal", "body"), BODIES)
def test_one_message(write, signal, body):
    """A file that is one serialized request is read as the signal it holds, named or not."""
    path = write(body)
    assert layout_of(path) is Layout.MESSAGE
    assert outcome(path) == outcome(path, signal) == ([(signal, body)], [])


@pytest.mark.parametrize(("signal", "body"), BODIES)
def test_wrong_signal(write, signal, body):
    """A file named as another signal's is refused instead of being stored as nonsense."""
    path = write(body)
    for other in set(Signal) - {signal}:
        taken, damage = outcome(path, other)
        assert taken == []
        assert [d.problem for d in damage] == [f"is not an OTLP request of {other}"]


def test_undecidable_signal(write):
    """A binary request that would suit every signal asks for the option, and takes it."""
    body = to_protobuf(Signal.LOGS, b'{"resourceLogs":[{"resource":{}}]}')
    path = write(body)
    taken, [damage] = outcome(path)
    assert (taken, damage.problem) == ([], "may be any signal; name it with --signal")
    assert outcome(path, Signal.LOGS) == ([(Signal.LOGS, body)], [])


def test_empty(write):
    """An empty file holds nothing and is no error."""
    path = write(b"")
    assert layout_of(path) is Layout.EMPTY
    assert outcome(path) == ([], [])


def test_damaged_line(write):
    """A bad line is reported by its number, and the lines around it are read."""
    content = lines(spans("a"), spans("a", "b")).split(b"\n")
    path = write(b"\n".join([content[0], b'{"resourceSpans": [', b'{"a": 1}', content[1], b""]))
    taken, damage = outcome(path)
    assert len(taken) == 2
    assert [d.place for d in damage] == ["line 2", "line 3"]
    assert "not JSON" in damage[0].problem
    assert damage[1].problem == "has none of resourceSpans, resourceMetrics, resourceLogs"


def test_damaged_first_line(write):
    """A bad first line does not make the file one document."""
    path = write(b'{"resourceSpans": [\n' + lines(spans("a", "b")))
    taken, [damage] = outcome(path)
    assert (taken, damage.place) == (BODIES[:1], "line 1")


@pytest.mark.parametrize("cut", range(1, 60))
def test_torn_line(tmp_path, cut):
    """However much of the last line is missing, the lines before it are read and it is named."""
    content = lines(spans("a", "b"), logs("x"))
    path = tmp_path / "torn.jsonl"
    path.write_bytes(content[: -cut - 1])
    taken, [damage] = outcome(path)
    assert taken == BODIES[:1]
    assert damage.place == "line 2"
    assert damage.problem.startswith("is torn or not JSON")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_torn_frames(tmp_path_factory, data):
    """Wherever a file of frames ends, its whole frames are read and a torn one is named."""
    bodies = BODIES[:3]
    content = frames(*[body for _, body in bodies])
    size = data.draw(st.integers(1, len(content)))
    path = tmp_path_factory.mktemp("frames") / "torn.pb"
    path.write_bytes(content[:size])
    ends = [len(frames(*[b for _, b in bodies[:n]])) for n in range(4)]
    whole = max(n for n in range(4) if ends[n] <= size)
    taken, damage = outcome(path)
    assert taken == bodies[:whole]
    assert [d.place for d in damage] == ([] if size in ends else [f"byte {ends[whole]}"])


def test_impossible_length(write):
    """A length that no request can have ends the reading there, in words."""
    path = write(frames(BODIES[0][1]) + b"\xff\xff\xff\xff" + BODIES[0][1])
    taken, [damage] = outcome(path)
    assert taken == BODIES[:1]
    assert damage.place == f"byte {4 + len(BODIES[0][1])}"


def test_garbage_frame(write):
    """A frame that is no protobuf is named, and the next one is read."""
    path = write(frames(b"\xff\xff", BODIES[1][1]))
    taken, [damage] = outcome(path)
    assert taken == BODIES[1:2]
    assert (damage.place, damage.problem) == ("byte 0", "is not an OTLP request")


@pytest.mark.parametrize("spoil", ["cut", "bits"])
def test_damaged_gzip(tmp_path, spoil):
    """What a damaged compressed file still gives is read, and the damage is named."""
    compressed = bytearray(gzip.compress(lines(*[spans(f"{n:032x}" * 9) for n in range(3000)])))
    if spoil == "cut":
        del compressed[-len(compressed) // 3 :]
    else:
        compressed[len(compressed) * 2 // 3] ^= 0xFF
    path = tmp_path / "damaged.jsonl.gz"
    path.write_bytes(compressed)
    taken, damage = outcome(path)
    assert len(taken) > 1000
    assert "damaged" in damage[-1].problem


@pytest.mark.parametrize("content", [b"hello\n", b"[1]\n", b"\x89PNG\r\n", b"\x1f\x8b\x08\x00"])
def test_other_files(tmp_path, content):
    """A file of something else is refused by name with what would be taken."""
    path = tmp_path / "other.bin"
    path.write_bytes(content)
    with pytest.raises(Malformed, match=r"other\.bin holds neither OTLP/JSON lines nor OTLP"):
        list(read(path))


def test_position_grows_to_the_size(write):
    """Positions are bytes of the stored file, never fall, and end at its size."""
    path = write(lines(*[spans(f"{n:08d}") for n in range(5000)]))
    positions = [r.position for r in read(path)]
    assert positions == sorted(positions)
    assert positions[-1] == path.stat().st_size


@pytest.mark.parametrize(("signal", "body"), BODIES)
def test_items(signal, body):
    """Items are spans, log records and the data points of every kind of metric."""
    found = list(items(signal, REQUESTS[signal].FromString(body)))
    assert len(found) == (1 if signal is Signal.LOGS else 2)
