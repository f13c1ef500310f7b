"""The other side of a comparison: another period of the same, or another group in the same period."""

from dataclasses import dataclass, replace
from typing import Annotated

from annotated_types import Gt, Le

from headgate.queries.declaration import Ask, SteppedParams
from headgate.queries.errors import ReportError
from headgate.queries.window import Window, bound, said, zone_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareParams(SteppedParams):
    """What to compare with: the window before, unless another period or group is given."""

    against_since: Annotated[
        str | None, "begin of the other period, such as 14d; distances count back from `until`"
    ] = None
    against_until: Annotated[
        str | None, "its end; as long after its begin as the window is long, unless given"
    ] = None
    against_service: Annotated[str | None, "compare with this service, in the same window"] = None
    against_operation: Annotated[str | None, "compare with this operation"] = None
    against_where: Annotated[
        str | None, "compare with uses with these attributes: version=1.2, region=eu"
    ] = None
    significance: Annotated[
        float, "differences are called so up to this share of false discoveries", Gt(0), Le(1)
    ] = 0.05

    @property
    def groups(self) -> bool:
        """Whether another group is compared with, and not another period."""
        return any((self.against_service, self.against_operation, self.against_where))


def other(params: CompareParams, window: Window) -> Ask:
    """Return the question whose answer is compared with; raises ReportError for what is no period or group."""
    there = replace(
        params,
        service=params.against_service or params.service,
        operation=params.against_operation or params.operation,
        where={**params.where, **_pairs(params.against_where or "")},
    )
    return Ask(_window(params, window), there)


def _window(params: CompareParams, window: Window) -> Window:
    zone = zone_of(params.timezone)
    if params.against_since is None:
        if params.against_until is not None:
            raise ReportError(
                "against_until needs against_since: give both, or against_since alone"
            )
        return window if params.groups else window.before
    since = bound(params.against_since, window.until, "against_since", zone)
    until = since + (window.until - window.since)
    if params.against_until is not None:
        until = bound(params.against_until, window.until, "against_until", zone)
    if since >= until:
        raise ReportError(
            f"the other period is empty: against_since {said(since, zone)} is not before against_until"
            f" {said(until, zone)}"
        )
    return Window(since, until)


def _pairs(text: str) -> dict[str, str]:
    pairs = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        key, separator, value = part.partition("=")
        if not separator or not key:
            raise ReportError(f"against_where {part!r} is not possible: write key=value, key=value")
        pairs[key] = value
    return pairs
