"""How many connections there may be: each is a file to the system, and so are the journal's and the engine's."""

from __future__ import annotations

import resource

MOST_CONNECTIONS = 4096
_LISTENERS = 3
# Journal, engine, libraries: an engine with little data has 80 open, with many parts it opens more.
_OURS = 256
_LEAST = 16


def connections_each() -> int:
    """Let this process open the files it may want, and return how many connections each of its listeners may have.

    Clients that are connected and send nothing must not keep the journal from being opened.
    """
    wanted = _LISTENERS * MOST_CONNECTIONS + _OURS
    soft, hard = (_number(limit) for limit in resource.getrlimit(resource.RLIMIT_NOFILE))
    if soft < wanted and soft < hard:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, _limit(hard)))
    return max(min((soft - _OURS) // _LISTENERS, MOST_CONNECTIONS), _LEAST)


def _number(limit: int) -> int:
    return 1 << 30 if limit == resource.RLIM_INFINITY else limit


def _limit(number: int) -> int:
    return resource.RLIM_INFINITY if number == 1 << 30 else number
