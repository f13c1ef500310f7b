"""What a record is of: an operation of a service, or a period. Records share these, and are shown with them first.

They have no slots, so that a record may have one of them beside numbers that it shares with others.
"""

from dataclasses import dataclass
from typing import Annotated


class Label:
    """Fields that say what a record is of."""


@dataclass(frozen=True)
class OfOperation(Label):
    """One operation of one service."""

    service: Annotated[str, "service.name"]
    operation: Annotated[str, "span or event name"]


@dataclass(frozen=True)
class OfPeriod(Label):
    """One period of a time zone."""

    period: Annotated[str, "its first local date, or its start where it is an hour"]
    whole: Annotated[
        bool, "whether all of it is in the window and was recorded: no hour of it is a gap"
    ]
