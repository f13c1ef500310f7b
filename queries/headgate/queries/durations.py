"""How long calls took: moments and percentiles that several reports share (REQ-PERF-01 to -05).

Columns come from `performance.moments` and `performance.buckets`: sums of durations in ns, and how many fell into each
bucket (`headgate.store.histogram`).
"""

from __future__ import annotations
