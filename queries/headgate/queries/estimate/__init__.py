"""Numbers with their uncertainty: estimators for rows that stand for more than themselves.

A row with weight w = 1/p was kept with probability p and stands for w rows (Horvitz and Thompson 1952). What is drawn
is never a row but a trace, with all of its rows, or a person: `draws` makes variances that respect it, `totals` and
`quantiles` turn sums and variances (made there or in SQL) into estimates, `people` estimates from samples of people,
`compare` compares two estimates. With every weight 1 each number is exact: standard error 0 and no interval worth
printing. Intervals are 95 %; where too little was kept for one that holds, there is a reason in its place.
"""

from headgate.queries.estimate.compare import difference, ratio
from headgate.queries.estimate.draws import Sums, by_value, sums, sums_by
from headgate.queries.estimate.interval import LEAST_DRAWS, Z95, Draws
from headgate.queries.estimate.noise import covariance, noise, variance
from headgate.queries.estimate.number import Estimate, at_least, at_most, exactly, unsure
from headgate.queries.estimate.people import (
    conversion,
    distinct,
    funnel,
    people_mean,
    people_total,
    probability,
)
from headgate.queries.estimate.quantiles import Quantiles, histogram, quantile
from headgate.queries.estimate.totals import count, mean, rate, standard_deviation, total

__all__ = [
    "LEAST_DRAWS",
    "Z95",
    "Draws",
    "Estimate",
    "Quantiles",
    "Sums",
    "at_least",
    "at_most",
    "by_value",
    "conversion",
    "count",
    "covariance",
    "difference",
    "distinct",
    "exactly",
    "funnel",
    "histogram",
    "mean",
    "noise",
    "people_mean",
    "people_total",
    "probability",
    "quantile",
    "rate",
    "ratio",
    "standard_deviation",
    "sums",
    "sums_by",
    "total",
    "unsure",
    "variance",
]
