"""What the report on what is to come returns: its parameters, its records, what each field means."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from headgate.queries.declaration import Params
from headgate.queries.estimate import Estimate
from headgate.queries.labels import OfOperation


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastParams(Params):
    """How far ahead, and by how much of the past."""

    step: Annotated[Literal["hour", "day"], "length of the periods that are forecast"] = "hour"
    horizon_days: Annotated[
        float, "days to forecast, from the end of the window", Gt(0), Le(366)
    ] = 7.0
    learn_days: Annotated[float, "days before the window that are learnt from", Gt(0), Le(3650)] = (
        56.0
    )
    limit: Annotated[int, "at most this many operations are forecast, the most used", Ge(1)] = 20


@dataclass(frozen=True)
class Foretold:
    """A forecast with its interval."""

    forecast: Annotated[float | None, "uses to come; null where there is no forecast"]
    forecast_low: Annotated[float | None, "lower end of its 95 % interval"]
    forecast_high: Annotated[float | None, "upper end of it"]


@dataclass(frozen=True, slots=True)
class Outlook(Foretold):
    """What is to come; the same numbers for one operation and for all."""

    verdict: Annotated[
        str,
        "`forecast`; `unsure`: fewer than four trials, or an interval that reaches from half the forecast or less to"
        " one and a half or more; `too little data`: fewer than two seasons and four trials of the horizon since its"
        " first record, `new` where that lies in the window",
    ]
    calls: Annotated[Estimate, "uses in the window"]
    change_rate: Annotated[
        float | None, "forecast against as many periods before it, gaps left out, less 1"
    ]
    method: Annotated[
        str | None, "`holt-winters`, `same hour before` or `drift`: what erred least in the trials"
    ]
    backtests: Annotated[int, "trials: forecasts from earlier origins, compared with what came"]
    backtest_error_rate: Annotated[
        float | None, "sum of absolute errors of single periods in them, by the sum of uses"
    ]
    backtest_coverage_rate: Annotated[
        float | None, "share of periods within their 95 % interval, in trials that did not make it"
    ]


@dataclass(frozen=True, slots=True)
class Row(OfOperation, Outlook):
    """One operation of one service."""

    forecast_series: Annotated[tuple[float | None, ...], "forecast of each period"]
    learnt_periods: Annotated[
        int, "periods that were learnt from, gaps left out: from its first record on"
    ]


@dataclass(frozen=True, slots=True)
class Period(Foretold):
    """Everything together, in one period of the window or of the horizon."""

    start_at: Annotated[datetime, "its begin"]
    calls: Annotated[
        float | None, "uses; null in a gap, in a period that is cut, and in the future"
    ]


@dataclass(frozen=True, slots=True)
class Summary(Outlook):
    """Everything together."""

    horizon_since_at: Annotated[datetime, "begin of what is forecast"]
    horizon_until_at: Annotated[datetime, "end of it"]
    learnt_periods: Annotated[int, "periods that were learnt from, gaps left out"]
    timeline: Annotated[tuple[Period, ...], "the window, then the horizon"]
