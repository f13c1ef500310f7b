"""Files of OTLP, batched and sent: what was taken, what was not and why."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headgate.collector.otlp_file import Damage, items, read
from headgate.collector.otlp_json import REQUESTS
from headgate.collector.signals import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from headgate.cli.ending import Stop
    from headgate.cli.sending import Answer

BATCH_BYTES = 1 << 20
"""Requests are joined up to this size; acknowledging costs the collector a write, not a byte."""

SENDERS = 4
_WINDOW = 2 * SENDERS
_POLL_S = 0.2
_TIMES = {
    Signal.TRACES: ("start_time_unix_nano",),
    Signal.METRICS: ("time_unix_nano",),
    Signal.LOGS: ("time_unix_nano", "observed_time_unix_nano"),
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A request of a file; `old` of its `count` items are older than the caller's limit."""

    signal: Signal
    body: bytes
    count: int
    old: int
    place: str
    position: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that was not stored: `count` items where known."""

    place: str
    message: str
    count: int = 0


@dataclass(slots=True)
class Tally:
    """What became of the files so far; items by signal, `position` in bytes of all files."""

    taken: Counter[Signal] = field(default_factory=Counter)
    rejected: Counter[Signal] = field(default_factory=Counter)
    old: int = 0
    position: int = 0
    problems: list[Problem] = field(default_factory=list)


def load_files(
    files: Iterable[Path],
    signal: Signal | None,
    send: Callable[[Signal, bytes], Answer],
    old_before_ns: int,
    stop: Stop,
) -> Iterator[Tally]:
    """Read and send files, yielding the growing tally whenever something was answered.

    Raises OSError or Malformed for a file that cannot be read, and what `send` or `stop` raise.
    """
    tally = Tally()
    batches = _batches(_pieces(files, signal, old_before_ns, tally), BATCH_BYTES)
    pool = ThreadPoolExecutor(SENDERS)
    try:
        for outcome in _windowed(pool, lambda batch: _deliver(batch, send), batches, stop):
            _note(outcome, tally)
            yield tally
    finally:
        pool.shutdown(cancel_futures=True)
    yield tally


def _pieces(
    files: Iterable[Path], signal: Signal | None, old_before_ns: int, tally: Tally
) -> Iterator[Piece]:
    before = 0
    for path in files:
        for found in read(path, signal):
            place = f"{path}, {found.place}"
            if isinstance(found, Damage):
                tally.problems.append(Problem(place, found.problem))
                continue
            request = REQUESTS[found.signal].FromString(found.body)
            ages = [_is_old(found.signal, i, old_before_ns) for i in items(found.signal, request)]
            position = before + found.position
            yield Piece(found.signal, found.body, len(ages), sum(ages), place, position)
        before += path.stat().st_size


def _is_old(signal: Signal, item: object, before_ns: int) -> bool:
    """Tell whether an item happened before a time; the first of its times that is set counts."""
    times = (getattr(item, name) for name in _TIMES[signal])
    return 0 < next(filter(None, times), 0) < before_ns


def _batches(pieces: Iterable[Piece], size: int) -> Iterator[list[Piece]]:
    """Join neighbours of one signal; protobuf requests in a row are one request."""
    batch: list[Piece] = []
    room = size
    for piece in pieces:
        if batch and (piece.signal is not batch[0].signal or len(piece.body) > room):
            yield batch
            batch, room = [], size
        batch.append(piece)
        room -= len(piece.body)
    if batch:
        yield batch


def _deliver(
    batch: list[Piece], send: Callable[[Signal, bytes], Answer]
) -> list[tuple[list[Piece], Answer]]:
    """Send a batch; when it is refused, its pieces one by one, so that a bad one costs itself."""
    answer = send(batch[0].signal, b"".join(piece.body for piece in batch))
    if answer.refused and len(batch) > 1:
        return [([piece], send(piece.signal, piece.body)) for piece in batch]
    return [(batch, answer)]


def _windowed(
    pool: ThreadPoolExecutor,
    work: Callable[[list[Piece]], list[tuple[list[Piece], Answer]]],
    batches: Iterable[list[Piece]],
    stop: Stop,
) -> Iterator[tuple[list[Piece], Answer]]:
    """Work on a few batches at a time and yield what comes of them, in order of completion."""
    pending: set[Future[list[tuple[list[Piece], Answer]]]] = set()
    remaining = iter(batches)
    exhausted = False
    while pending or not exhausted:
        while not exhausted and len(pending) < _WINDOW:
            batch = next(remaining, None)
            exhausted = batch is None
            if batch is not None:
                pending.add(pool.submit(work, batch))
        done, pending = wait(pending, _POLL_S, FIRST_COMPLETED)
        stop.check()
        for future in done:
            yield from future.result()


def _note(outcome: tuple[list[Piece], Answer], tally: Tally) -> None:
    pieces, answer = outcome
    signal = pieces[0].signal
    count = sum(piece.count for piece in pieces)
    rejected = count if answer.refused else min(answer.rejected, count)
    tally.taken[signal] += count - rejected
    tally.rejected[signal] += rejected
    tally.old += sum(piece.old for piece in pieces)
    tally.position = max(tally.position, pieces[-1].position)
    if rejected or answer.message:
        message = answer.message or "no reason was given"
        tally.problems.append(Problem(pieces[0].place, message, rejected))
