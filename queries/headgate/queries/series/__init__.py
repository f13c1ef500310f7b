"""Usage as series of periods: what is usual, what repeats, what will be.

Matrices are float64 [series, periods], NaN where a period is missing.
"""
