"""Series as text: heights follow the values, gaps stay gaps, long series are shortened."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headgate.queries.render.spark import WIDTH, spark

BARS = "▁▂▃▄▅▆▇█"


def test_heights_follow_values() -> None:
    """From 0 to the largest; nothing and all zeros are lines too; what is missing is a dot, not a zero."""
    assert spark([0, 1, 2, 3, 4, 5, 6, 7]) == BARS
    assert spark([5, None, 0]) == "█·▁"
    assert spark([0, 0]) == "▁▁"
    assert spark([None]) == "·"
    assert spark([]) == ""


@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=200))
def test_a_larger_value_is_never_drawn_lower(values: list[float]) -> None:
    """At most WIDTH signs; a series that rises is drawn rising."""
    drawn = spark(sorted(values))
    assert len(drawn) == min(len(values), WIDTH)
    heights = [BARS.index(sign) for sign in drawn]
    assert heights == sorted(heights)
