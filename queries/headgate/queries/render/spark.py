"""A series of numbers as a line of text: the fields of records that end in `_series`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"
_MISSING = "·"
WIDTH = 14


def spark(values: Sequence[float | None], width: int = WIDTH) -> str:
    """Return a bar a value, from 0 to the largest, `·` where there is none; longer series as means of `width` parts."""
    series = np.array([np.nan if value is None else value for value in values], np.float64)
    parts = np.array_split(series, min(width, series.size)) if series.size else []
    means = np.array([np.nan if np.isnan(part).all() else np.nanmean(part) for part in parts])
    top = np.nanmax(means) if means.size and not np.isnan(means).all() else 0.0
    last = len(_BARS) - 1
    return "".join(
        _MISSING
        if np.isnan(mean)
        else _BARS[int(np.ceil(mean / top * last)) if top > 0 and mean > 0 else 0]
        for mean in means
    )
