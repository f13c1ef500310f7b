"""Answer a report from files of OTLP: load them through a collector of its own into a store that is thrown away."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headgate.cli.children import ChildFailed, Children
from headgate.cli.ending import INTERRUPTED, Interrupted, stop_on_signals
from headgate.cli.loading import load_files
from headgate.cli.sending import Sender, Unreachable
from headgate.collector.errors import Malformed
from headgate.queries.origin import ask
from headgate.store import StoreError
from headgate.store.server import otlp_url, server_client, verification

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PATTERNS = ("*.jsonl", "*.jsonl.gz")


def telemetry_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files of OTLP that `paths` are, or that lie in them; nothing when they are a store's directory.

    In a directory these are its `.jsonl` and `.jsonl.gz` files, as a library's local telemetry leaves them.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_file():
            found.append(path)
        elif path.is_dir() and not (path / "clickhouse").exists():
            found += sorted(file for pattern in _PATTERNS for file in path.glob(pattern))
    return found


def from_files(
    files: Sequence[Path], name: str, question: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return the report's document, and a sentence for each part of the files that could not be counted.

    Raises StoreError when a file cannot be read at all.
    """
    try:
        with (
            tempfile.TemporaryDirectory(prefix="headgate-report-") as place,
            stop_on_signals() as stop,
            Children(Path(place), stop) as children,
        ):
            collector, addresses = children.start_collector(Path(place) / "data")
            sender = Sender(
                otlp_url(addresses),
                stop.sleep,
                compress=False,
                token=addresses["token"],
                verify=verification(addresses),
            )
            problems = []
            for tally in load_files(files, None, sender.send, time.time_ns(), stop):
                problems = tally.problems
            sender.close()
            document = ask(server_client(addresses), name, question)
            children.finish(collector)
    except Interrupted:
        raise SystemExit(INTERRUPTED) from None
    except (Malformed, ChildFailed, Unreachable) as error:
        raise StoreError(str(error)) from error
    except OSError as error:
        raise StoreError(f"cannot read {error.filename}: {error.strerror}") from error
    return document, [f"{problem.place}: {problem.message}" for problem in problems]
