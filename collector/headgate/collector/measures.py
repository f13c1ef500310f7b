"""What is counted of calls: how many, and how long they took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.collector.buckets import bucket_index
from headgate.collector.grouping import group
from headgate.collector.keyed import expand
from headgate.collector.native import Encoded, encode_array, encode_numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.grouping import Groups
    from headgate.collector.uses import Uses


@dataclass(frozen=True, slots=True)
class Measures:
    """Sums over calls, a row each; merging rows gives the sums over all their calls.

    Durations are in ns. The histogram is in cells, in the order of their rows: `cell_row` is the row of a cell,
    `bucket` its bucket (headgate.store.histogram), `bucket_calls` the calls in it; calls without duration have none.
    """

    calls: NDArray[np.uint64]
    calls_adjusted: NDArray[np.float64]
    duration_sum: NDArray[np.float64]
    duration_sum_squares: NDArray[np.float64]
    duration_min: NDArray[np.uint64]
    duration_max: NDArray[np.uint64]
    cell_row: NDArray[np.int64]
    bucket: NDArray[np.int16]
    bucket_calls: NDArray[np.uint64]

    def __len__(self) -> int:
        return int(self.calls.size)

    def take(self, rows: NDArray[Any]) -> Measures:
        """Return the measures at `rows`."""
        cells, counts = expand(self._first(), rows)
        return Measures(
            calls=self.calls[rows],
            calls_adjusted=self.calls_adjusted[rows],
            duration_sum=self.duration_sum[rows],
            duration_sum_squares=self.duration_sum_squares[rows],
            duration_min=self.duration_min[rows],
            duration_max=self.duration_max[rows],
            cell_row=np.repeat(np.arange(rows.size), counts),
            bucket=self.bucket[cells],
            bucket_calls=self.bucket_calls[cells],
        )

    def merged(self, groups: Groups) -> Measures:
        """Return one row a group."""
        cell_row, bucket, bucket_calls = self.cell_row, self.bucket, self.bucket_calls
        if bucket.size:
            cell_row = groups.number[cell_row]
            cells = group(cell_row * 65536 + bucket)
            cell_row, bucket = cell_row[cells.first], bucket[cells.first]
            bucket_calls = cells.sum(bucket_calls)
        return Measures(
            calls=groups.sum(self.calls),
            calls_adjusted=groups.sum(self.calls_adjusted),
            duration_sum=groups.sum(self.duration_sum),
            duration_sum_squares=groups.sum(self.duration_sum_squares),
            duration_min=groups.min(self.duration_min),
            duration_max=groups.max(self.duration_max),
            cell_row=cell_row,
            bucket=bucket,
            bucket_calls=bucket_calls,
        )

    def columns(self) -> dict[str, Encoded]:
        """Return the columns that every rollup table has."""
        return {
            "Calls": encode_numbers(self.calls),
            "CallsAdjusted": encode_numbers(self.calls_adjusted),
            "DurationSum": encode_numbers(self.duration_sum),
            "DurationSumSquares": encode_numbers(self.duration_sum_squares),
            "DurationMin": encode_numbers(self.duration_min),
            "DurationMax": encode_numbers(self.duration_max),
            "DurationBuckets": encode_array(
                np.diff(self._first()),
                encode_numbers(self.bucket),
                encode_numbers(self.bucket_calls),
            ),
        }

    def _first(self) -> NDArray[np.int64]:
        """Return where each row's cells begin, and the end."""
        return np.searchsorted(self.cell_row, np.arange(len(self) + 1))


def measures_of(uses: Uses, rows: NDArray[np.int64] | slice = slice(None)) -> Measures:
    """Return the measures of each use by itself; of those at `rows`, if given."""
    duration_ns = uses.duration_ns[rows]
    duration = duration_ns.astype(np.float64)
    timed = duration.size if uses.timed else 0
    return Measures(
        calls=np.ones(duration.size, np.uint64),
        calls_adjusted=uses.adjusted[rows],
        duration_sum=duration,
        duration_sum_squares=duration * duration,
        duration_min=duration_ns,
        duration_max=duration_ns,
        cell_row=np.arange(timed),
        bucket=bucket_index(duration_ns[:timed]),
        bucket_calls=np.ones(timed, np.uint64),
    )
