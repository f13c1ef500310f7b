"""What is to be inserted for a segment, written down before the first insert, and how far that has come.

A plan holds the rules by which rows are derived, what sampling has chosen, and the sampler's state after the segment: a
repeat makes and keeps the same rows, also when the settings have changed in between.

Exactly once rests on a repeat sending the same rows under the same tokens, and on ClickHouse remembering the tokens.
The same code makes the same rows; a later version may not: a repeat that would divide them differently is refused, so
that versions never mix within a segment. ClickHouse remembers a limited number of parts, and a segment with times of
many days has more: blocks known to be inserted are not sent again. That knowledge is of no use after the machine went
down, since the engine's last files may have gone with it.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import xxhash

import headgate.collector
import headgate.store
from headgate.collector.quarantine import sync_directory

_NOTHING = xxhash.xxh3_64_intdigest(b"")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Plan:
    """`blocks` are (token, rows) in the order of insertion; `code` identifies what made them.

    `sampling` are the bytes of `headgate.collector.decisions`, empty where nothing was sampled; `rules` those by which
    rows were derived, as JSON, empty where a plan is of before there were any.
    """

    code: str
    blocks: tuple[tuple[str, int], ...]
    sampling: bytes = b""
    rules: str = ""

    def continues(self, earlier: Plan) -> bool:
        """Return whether this may finish what `earlier` began: the same tokens for the same rows.

        Equal code may have fewer rows under a token: those of records that were damaged in between.
        """
        if self.code == earlier.code:
            return [token for token, _ in self.blocks] == [token for token, _ in earlier.blocks]
        return self.blocks == earlier.blocks


def read_plan(path: Path) -> tuple[Plan, int] | None:
    """Return the plan at `path` and how many of its blocks are surely in the store.

    None where there is no plan or its writing was cut off: nothing was inserted then. Raises OSError.
    """
    try:
        line, end, rest = path.read_bytes().partition(b"\n")
        written = json.loads(line)
        size = written.get("size", 0)  # plans of before there was sampling have none
        sampling, marks = rest[:size], rest[size:]
        whole = end and xxhash.xxh3_64_intdigest(sampling) == written.get("checksum", _NOTHING)
        blocks = tuple((token, rows) for token, rows in written["blocks"])
        plan = Plan(written["code"], blocks, sampling, written.get("rules", ""))
        boot = written["boot"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return (plan, len(marks) if boot and boot == boot_id() else 0) if whole else None


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan durably. Raises OSError."""
    written = {
        "code": plan.code,
        "boot": boot_id(),
        "blocks": plan.blocks,
        "rules": plan.rules,
        "size": len(plan.sampling),
        "checksum": xxhash.xxh3_64_intdigest(plan.sampling),
    }
    with path.open("wb") as file:
        file.write(json.dumps(written).encode() + b"\n" + plan.sampling)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(path.parent)


def mark_inserted(path: Path, blocks: int = 1) -> None:
    """Note that the next blocks of the plan are in the store, whole. Raises OSError."""
    with path.open("ab") as file:
        file.write(b"." * blocks)


@cache
def boot_id() -> str:
    """Return what identifies the time since the machine was started, or nothing where there is no such thing."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


@cache
def code_version() -> str:
    """Return a digest of the sources that make rows of requests."""
    digest = hashlib.sha256()
    for package in (headgate.collector, headgate.store):
        for directory in package.__path__:
            for source in sorted(Path(directory).rglob("*.py")):
                digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:24]
