"""Requests become the rows that the slow twin finds in them: every field, of every table."""

from __future__ import annotations

import otlp_strategies
import pytest
import twin
from hypothesis import HealthCheck, given, settings
from native_rows import differences, rows_of

from headgate.collector.check import check
from headgate.collector.process import process
from headgate.collector.signals import Signal

PROPERTY = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("signal", list(Signal))
def test_every_field_of_every_table(signal):
    """Arbitrary requests, a few to a segment, give exactly the twin's rows."""

    @PROPERTY
    @given(otlp_strategies.requests(signal))
    def property_(requests):
        for request in requests:
            check(signal, request.body)
        assert not differences(rows_of(process(requests)), twin.tables(requests))

    property_()
