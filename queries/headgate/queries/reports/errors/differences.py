"""What failures have that successes do not: attribute values, sizes, speeds (REQ-ERR-02, -04, -05; PIT-R0-03).

Calls are compared with calls of the same operation, and the operations' results put together: what only says which
operation or service was called sets nothing apart. The operations themselves are compared with all others.

Rows of different weight count as many as they tell (Kish's effective size), so that sampling makes a difference less
certain, never larger. Rows are taken as independent of each other; a single client that calls often is not.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from headgate.queries.columns import Columns, parts
from headgate.queries.reports.errors.records import Association, Difference, Speed
from headgate.queries.significance import benjamini_hochberg, cramers_v, effective
from headgate.queries.stratified import common_odds_ratio, over_represented, rank_biserial

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SHOWN, MARKS = 20, 3
_NOTHING = Columns({})
LEAST_ODDS_RATIO = 1.5
SPEEDS = ("fast", "medium", "slow")


def differences(
    attributes: Columns, significance: float, resources: Columns = _NOTHING
) -> tuple[Difference, ...]:
    """Return what all failures together have more often than successes, the largest odds ratio first.

    `resources` are the attributes of resources, counted in rows of their own.
    """
    found: list[Difference] = []
    for rows in (attributes, resources):
        if rows.rows:
            laid, well = _Laid.of(rows), rows["well"].astype(bool)
            found += _compared(laid, laid.group(~well), laid.group(well), significance)
    return tuple(sorted(found, key=_clearest)[:SHOWN])


def _clearest(found: Difference) -> tuple[float, float, str, str]:
    return -found.odds_ratio_low, found.q_value, found.key, found.value


def marks(attributes: Columns, significance: float) -> dict[int, tuple[str, ...]]:
    """Return what distinguishes each fingerprint's failures from successes, in words."""
    if not attributes.rows:
        return {}
    laid = _Laid.of(attributes)
    well = attributes["well"].astype(bool)
    successes, fingerprint = laid.group(well), attributes["fingerprint"]
    return {
        label: tuple(
            f"{found.key}={found.value} ({found.odds_ratio:.3g} times)"
            for found in _compared(
                laid, laid.group(~well & (fingerprint == label)), successes, significance
            )[:MARKS]
        )
        for label in np.unique(fingerprint[~well]).tolist()
    }


def _compared(
    laid: "_Laid", failed: "_Group", well: "_Group", significance: float
) -> tuple[Difference, ...]:
    """Compare the values that two groups have, within the strata that have both."""
    near = laid.of_values(well.cells, failed.cells)
    cells = np.union1d(failed.cells, well.cells[near])
    value, stratum = np.divmod(cells, laid.strata)
    there = (failed.whole[stratum, 0] > 0) & (well.whole[stratum, 0] > 0)
    cells, value, stratum = cells[there], value[there], stratum[there]
    (a, _), (b, _) = failed.at(cells), well.at(cells)
    (n, n_squares), (m, m_squares) = failed.whole[stratum].T, well.whole[stratum].T
    size, rest = effective(n, n_squares), effective(m, m_squares)
    given = (value, a / n * size, size, b / m * rest, rest, len(laid.values))
    q = benjamini_hochberg(over_represented(*given))
    ratio, low, high = common_odds_ratio(*given)
    a, n, b, m = (np.bincount(value, x, len(laid.values)) for x in (a, n, b, m))
    with np.errstate(invalid="ignore"):
        shown = np.flatnonzero((q <= significance) & (ratio >= LEAST_ODDS_RATIO))
    found = [
        Difference(
            *laid.values[i],
            failures=round(float(a[i]), 2),
            failure_share=round(float(a[i] / n[i]), 4),
            success_share=round(float(b[i] / m[i]), 4),
            odds_ratio=round(float(ratio[i]), 2),
            odds_ratio_low=round(float(low[i]), 2),
            odds_ratio_high=round(float(high[i]), 2),
            error_rate=round(float(a[i] / (a[i] + b[i])), 4),
            q_value=float(f"{q[i]:.3g}"),
        )
        for i in shown
    ]
    return tuple(sorted(found, key=_clearest))


@dataclass(frozen=True, slots=True)
class _Group:
    """Uses of one group: (sum w, sum w^2) of each cell there is, ascending, and of each stratum as a whole."""

    cells: Ints
    sums: Floats
    whole: Floats

    def at(self, cells: Ints) -> Floats:
        """Return sum w and sum w^2 of each of these cells, 0 where there are no uses."""
        found = np.zeros((2, cells.size))
        known = np.isin(cells, self.cells)
        found[:, known] = self.sums[:, np.searchsorted(self.cells, cells[known])]
        return found


@dataclass(frozen=True, slots=True)
class _Laid:
    """Rows of attributes.sql or resources.sql by number.

    cell = value x strata + stratum, -1 - stratum for a whole stratum.
    Stratum 0 is all of them together: operations are not compared within operations.
    """

    values: list[tuple[str, str]]
    strata: int
    cell: Ints
    sums: Floats

    @classmethod
    def of(cls, rows: Columns) -> Self:
        """Give the rows' values and strata numbers."""
        pairs = list(zip(rows["key"].tolist(), rows["value"].tolist(), strict=True))
        values = sorted(set(pairs) - {("", "")})
        number = {value: i for i, value in enumerate(values)} | {("", ""): -1}
        value = np.array([number[pair] for pair in pairs], np.int64)
        known, stratum = np.unique(rows["stratum"], return_inverse=True)
        stratum = np.where(rows["key"] == "operation", 0, stratum + 1)
        strata = known.size + 1
        cell = np.where(value < 0, -1 - stratum, value * strata + stratum)
        return cls(values, strata, cell, np.array([rows["uses"], rows["weight_squares"]], float))

    def group(self, chosen: NDArray[np.bool_]) -> _Group:
        """Add up the rows of one group."""
        cell, sums = self.cell[chosen], self.sums[:, chosen]
        whole = np.zeros((self.strata, 2))
        np.add.at(whole, -1 - cell[cell < 0], sums[:, cell < 0].T)
        whole[0] = whole.sum(axis=0)
        cells, place = np.unique(cell[cell >= 0], return_inverse=True)
        added = [np.bincount(place, part, cells.size) for part in sums[:, cell >= 0]]
        return _Group(cells, np.array(added), whole)

    def of_values(self, cells: Ints, others: Ints) -> NDArray[np.bool_]:
        """Say which cells have a value that one of the others has."""
        return np.isin(cells // self.strata, np.unique(others // self.strata))


def associations(sizes: Columns, significance: float) -> tuple[Association, ...]:
    """Return how failing goes together with each number, the strongest first; the insignificant are left out."""
    found, chances = [], []
    for (measure,), part in parts(sizes, "key"):
        effect, p = rank_biserial([_ranked(rows) for _, rows in parts(part, "stratum")])
        if not np.isnan(effect):
            found.append(Association(measure, round(part.sum("uses"), 2), round(effect, 4), None))
            chances.append(p)
    kept = [
        replace(entry, q_value=float(f"{q:.3g}"))
        for entry, q in zip(found, benjamini_hochberg(chances), strict=True)
        if q <= significance
    ]
    return tuple(sorted(kept, key=lambda entry: (-abs(entry.effect), entry.measure)))


def _ranked(rows: Columns) -> tuple[Floats, Floats, Floats]:
    """Return the numbers there are in one stratum, and how many failures and successes have each, effectively."""
    failed = rows["failed"].astype(bool)
    bins, place = np.unique(rows["bin"], return_inverse=True)
    counts = []
    for chosen in (failed, ~failed):
        uses = rows["uses"][chosen]
        size = effective(uses.sum(), rows["weight_squares"][chosen].sum())
        scale = float(size) / uses.sum() if uses.size else 0.0
        counts.append(np.bincount(place[chosen], uses, bins.size).astype(float) * scale)
    return bins, counts[0], counts[1]


def speeds(columns: Columns) -> tuple[tuple[Speed, ...], float | None, float | None]:
    """Return failures by speed class, and Cramér's V of the two with its probability."""
    table, squares = np.zeros((len(SPEEDS), 2)), np.zeros((len(SPEEDS), 2))
    if columns.rows:
        row = np.array([SPEEDS.index(speed) for speed in columns["speed"]])
        cell = (row, columns["failed"].astype(int))
        np.add.at(table, cell, columns["uses"])
        np.add.at(squares, cell, columns["weight_squares"])
    found = tuple(
        Speed(
            speed=SPEEDS[i],
            calls=round(float(table[i].sum()), 2),
            failure_count=round(float(table[i, 1]), 2),
            error_rate=round(float(table[i, 1] / table[i].sum()), 4),
        )
        for i in np.flatnonzero(table.sum(axis=1) > 0)
    )
    size = float(effective(table.sum(), squares.sum()))
    effect, p = cramers_v(table * (size / table.sum() if size else 1.0))
    return (found, None, None) if np.isnan(effect) else (found, round(effect, 4), float(f"{p:.3g}"))
