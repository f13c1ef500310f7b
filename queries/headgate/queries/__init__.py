"""Questions about usage and their answers: reports, what they are computed from, and how they are shown."""

from headgate.queries.answer import Answer
from headgate.queries.catalog import entry, names
from headgate.queries.errors import ReportError, UnknownReport
from headgate.queries.estimate import Estimate
from headgate.queries.named import compare_periods, get_source_performance
from headgate.queries.origin import run, run_each

__all__ = [
    "Answer",
    "Estimate",
    "ReportError",
    "UnknownReport",
    "compare_periods",
    "entry",
    "get_source_performance",
    "names",
    "run",
    "run_each",
]
