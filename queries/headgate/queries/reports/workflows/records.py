"""What the report on workflows returns: its parameters, its records, what each field means."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from annotated_types import Ge, Gt, Le

from headgate.queries.declaration import Params
from headgate.queries.estimate import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowParams(Params):
    """What a session and a pattern are."""

    shortest: Annotated[int, "steps of the shortest patterns", Ge(2), Le(5)] = 2
    longest: Annotated[int, "steps of the longest patterns", Ge(2), Le(5)] = 5
    minimum: Annotated[int, "patterns that occur less often are left out", Ge(1)] = 2
    limit: Annotated[int, "at most this many patterns of each length", Ge(1)] = 5
    gap_minutes: Annotated[
        float, "a user without session ids begins a new session after so long without a use", Gt(0)
    ] = 30.0
    merge_repeats: Annotated[bool, "count a step that follows itself as one"] = False


@dataclass(frozen=True, slots=True)
class Row:
    """A pattern: steps that follow each other directly within a session, in the order of time."""

    path: Annotated[
        str, "the steps, as `operation > operation`, with the service where it is needed"
    ]
    length: Annotated[int, "number of steps"]
    frequency: Annotated[Estimate, "occurrences, overlapping ones included"]
    sessions: Annotated[Estimate, "sessions in which it occurs"]
    success_rate: Annotated[float, "share of its steps that ended well"]
    mean_ms: Annotated[float, "mean time from the start of its first step to the end of its last"]
    first_seen_at: Annotated[datetime, "start of its first occurrence"]
    last_seen_at: Annotated[datetime, "start of its last occurrence"]
    next_step: Annotated[str | None, "what follows it most often; null when too little does"]
    next_step_rate: Annotated[float | None, "share of its occurrences that are followed so"]


@dataclass(frozen=True, slots=True)
class Transition:
    """One cell of the transition matrix."""

    source: Annotated[str, "a step, or `(start)`; the rarest steps are `(other)`"]
    target: Annotated[str, "the step that follows directly, or `(end)`"]
    count: Annotated[float, "how often"]
    share: Annotated[float, "share of the source's occurrences"]
    mean_gap_ms: Annotated[float | None, "mean time from start to start; null at either end"]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Sessions that behave alike (REQ-WFL-05)."""

    name: Annotated[
        str,
        "`casual`, `regular`, `power` … by uses a session, fewest first; of those that use as much: what marks them",
    ]
    sessions: Annotated[int, "sessions in it, of those that were clustered"]
    share: Annotated[float, "their share"]
    mean_uses: Annotated[float, "uses a session"]
    mean_duration_ms: Annotated[float, "length of a session"]
    success_rate: Annotated[float, "mean share of uses that ended well"]
    distinct_steps: Annotated[float, "mean number of different steps"]
    repeat_rate: Annotated[float, "mean share of uses that repeat the step before"]
    marked_by: Annotated[tuple[str, ...], "what sets it apart from the average session, in words"]


@dataclass(frozen=True, slots=True)
class Summary:
    """Sessions, and what happens in them."""

    calls: Annotated[Estimate, "uses, in sessions or not"]
    sessions: Annotated[Estimate, "sessions: by session.id, else by user and gap"]
    anonymous_share: Annotated[
        float, "uses of neither a session nor a user, which are not followed"
    ]
    success_rate: Annotated[float | None, "share of sessions in which every use ended well"]
    single_use_rate: Annotated[float | None, "share of sessions with one use only"]
    mean_uses: Annotated[float | None, "uses a session"]
    least_uses: Annotated[int | None, "fewest uses of a session"]
    most_uses: Annotated[int | None, "most uses of a session"]
    mean_duration_ms: Annotated[
        float | None, "length of a session, from its first start to its last end"
    ]
    p50_duration_ms: Annotated[float | None, "median length"]
    p95_duration_ms: Annotated[float | None, "95th percentile of the lengths"]
    most_duration_ms: Annotated[float | None, "longest session"]
    patterns: Annotated[int, "patterns that occur often enough, shown or not"]
    cluster_quality: Annotated[
        float | None, "mean silhouette of the clusters, -1 to 1; below 0.25 they mean little"
    ]
    transitions: Annotated[
        tuple[Transition, ...], "the transition matrix, by source, most probable first"
    ]
    clusters: Annotated[tuple[Cluster, ...], "kinds of sessions, where there are enough"]
