"""What failures have that successes do not: attribute values, sizes, speeds (REQ-ERR-02, -04, -05; PIT-R0-03).

Rows of different weight count as many as they tell (Kish's effective size), so that sampling makes a difference less
certain, never larger. Rows are taken as independent of each other; a single client that calls often is not.
"""

from dataclasses import replace

import numpy as np

from headgate.queries.columns import Columns, parts
from headgate.queries.reports.errors.records import Association, Difference, Speed
from headgate.queries.significance import (
    benjamini_hochberg,
    cramers_v,
    effective,
    odds_ratio,
    over_represented,
    rank_biserial,
)

SHOWN, MARKS = 20, 3
LEAST_ODDS_RATIO = 1.5
SPEEDS = ("fast", "medium", "slow")


def differences(attributes: Columns, significance: float) -> tuple[Difference, ...]:
    """Return what all failures together have more often than successes, the largest odds ratio first."""
    if not attributes.rows:
        return ()
    well = attributes["well"].astype(bool)
    return _compared(attributes.chosen(~well), attributes.chosen(well), significance)[:SHOWN]


def marks(attributes: Columns, significance: float) -> dict[int, tuple[str, ...]]:
    """Return what distinguishes each fingerprint's failures from successes, in words."""
    if not attributes.rows:
        return {}
    well = attributes["well"].astype(bool)
    successes, failures = attributes.chosen(well), attributes.chosen(~well)
    return {
        int(label[0]): tuple(
            f"{found.key}={found.value} ({found.odds_ratio:.3g} times)"
            for found in _compared(part, successes, significance)[:MARKS]
        )
        for label, part in parts(failures, "fingerprint")
    }


def _compared(failures: Columns, successes: Columns, significance: float) -> tuple[Difference, ...]:
    """Compare the values that two groups have; the empty key counts a group's members."""
    failed, well = _by_value(failures), _by_value(successes)
    whole = ("", "")
    if whole not in failed or whole not in well:
        return ()
    values = sorted(failed.keys() - {whole})
    a = np.array([failed[v] for v in values]).reshape(-1, 2)
    b = np.array([well.get(v, (0.0, 0.0)) for v in values]).reshape(-1, 2)
    n, m = np.array(failed[whole]), np.array(well[whole])
    share_a, share_b = a[:, 0] / n[0], b[:, 0] / m[0]
    sizes = effective(n[0], n[1]), effective(m[0], m[1])
    cells = (share_a * sizes[0], sizes[0], share_b * sizes[1], sizes[1])
    q = benjamini_hochberg(over_represented(*cells))
    ratio, low, high = odds_ratio(*cells)
    found = [
        Difference(
            key=values[i][0],
            value=values[i][1],
            failures=round(float(a[i, 0]), 2),
            failure_share=round(float(share_a[i]), 4),
            success_share=round(float(share_b[i]), 4),
            odds_ratio=round(float(ratio[i]), 2),
            odds_ratio_low=round(float(low[i]), 2),
            odds_ratio_high=round(float(high[i]), 2),
            error_rate=round(float(a[i, 0] / (a[i, 0] + b[i, 0])), 4),
            q_value=float(f"{q[i]:.3g}"),
        )
        for i in np.flatnonzero((q <= significance) & (ratio >= LEAST_ODDS_RATIO))
    ]
    return tuple(sorted(found, key=lambda d: (-d.odds_ratio_low, d.q_value, d.key, d.value)))


def _by_value(group: Columns) -> dict[tuple[str, str], tuple[float, float]]:
    return {
        (str(label[0]), str(label[1])): (part.sum("uses"), part.sum("weight_squares"))
        for label, part in parts(group, "key", "value")
    }


def associations(sizes: Columns, significance: float) -> tuple[Association, ...]:
    """Return how failing goes together with each number, the strongest first; the insignificant are left out."""
    found, chances = [], []
    for (measure,), part in parts(sizes, "key"):
        failed = part["failed"].astype(bool)
        bins, place = np.unique(part["bin"], return_inverse=True)
        counts = []
        for chosen in (failed, ~failed):
            uses, squares = (
                part.chosen(chosen).sum("uses"),
                part.chosen(chosen).sum("weight_squares"),
            )
            scale = float(effective(uses, squares)) / uses if uses else 0.0
            counts.append(
                np.bincount(place[chosen], part["uses"][chosen], bins.size).astype(float) * scale
            )
        effect, p = rank_biserial(bins, *counts)
        if not np.isnan(effect):
            found.append(Association(measure, round(part.sum("uses"), 2), round(effect, 4), None))
            chances.append(p)
    kept = [
        replace(entry, q_value=float(f"{q:.3g}"))
        for entry, q in zip(found, benjamini_hochberg(chances), strict=True)
        if q <= significance
    ]
    return tuple(sorted(kept, key=lambda entry: (-abs(entry.effect), entry.measure)))


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
