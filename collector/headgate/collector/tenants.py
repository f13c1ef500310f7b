"""Tenants: one pipeline each, with its own database and its own journal, opened when it is first needed.

What one tenant's database refuses, or does not answer, keeps nobody else waiting; memory is one room for all. Segments,
digests and the ledger of a tenant lie in its own directory, so that a record belongs to a tenant by where it lies.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from headgate.collector.errors import Retryable
from headgate.collector.refusals import Refusals
from headgate.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.collector.pipeline import Pipeline
    from headgate.collector.sampling import Sampler

log = logging.getLogger(__name__)
_PATIENCE_S = 5.0


class Tenants:
    """The pipelines by tenant; `own` is that of the server's own database, whose name as a tenant is empty.

    `refusals` counts requests that are in no tenant's ledger.
    """

    def __init__(
        self,
        own: Pipeline,
        open_: Callable[[str], Pipeline],
        *,
        monotonic_s: Callable[[], float],
    ) -> None:
        """`open_` makes and starts a tenant's pipeline; raises StoreError or OSError when that cannot be done now.

        `began_s` is when the collector began, on the monotonic clock: now.
        """
        self.own = own
        self.began_s = monotonic_s()
        self.refusals = Refusals()
        self._open = open_
        self._monotonic_s = monotonic_s
        self._opener = ThreadPoolExecutor(1, thread_name_prefix="headgate-open")
        self._openings: dict[str, tuple[Future[Pipeline], float]] = {}
        self._pipelines: dict[str, Pipeline] = {"": own, own.database: own}
        self._lock = threading.Lock()
        self._closed = False

    def known(self, tenant: str) -> Pipeline | None:
        """Return a tenant's pipeline if it is open."""
        return self._pipelines.get(tenant)

    def pipeline(self, tenant: str, patience_s: float | None = _PATIENCE_S) -> Pipeline:
        """Return a tenant's pipeline, opening it (about a second) if need be; raises Retryable.

        An opening is waited for until `patience_s` after its begin, whoever began it: with a store that hangs, those
        who come later are told at once to come again. None waits for as long as it takes.
        """
        found = self._pipelines.get(tenant)
        if found is not None:
            return found
        with self._lock:
            if self._closed:
                raise Retryable("the collector is stopping")
            found = self._pipelines.get(tenant)
            if found is not None:
                return found
            if tenant not in self._openings:
                opened = self._opener.submit(self._make, tenant)
                self._openings[tenant] = (opened, self._monotonic_s())
            opened, began_s = self._openings[tenant]
        left_s = None
        if patience_s is not None:
            left_s = max(began_s + patience_s - self._monotonic_s(), 0.0)
        try:
            return opened.result(left_s)
        except TimeoutError:
            raise Retryable(
                "the tenant's database is being opened, which takes long", 3.0
            ) from None

    def _make(self, tenant: str) -> Pipeline:
        """Open a pipeline, in the thread that does nothing else."""
        try:
            found = self._open(tenant)
        except (StoreError, OSError) as error:
            log.error("tenant %s cannot be opened: %s", tenant, error)  # noqa: TRY400  # no trace is needed
            raise Retryable("the tenant's database cannot be opened now", 3.0) from error
        else:
            with self._lock:
                if not self._closed:
                    self._pipelines[tenant] = found
                    return found
            found.close(0)
            raise Retryable("the collector is stopping")
        finally:
            with self._lock:
                del self._openings[tenant]

    def all(self) -> list[Pipeline]:
        """Return every pipeline that is open."""
        with self._lock:
            return list({id(one): one for one in self._pipelines.values()}.values())

    def samplers(self) -> list[Sampler]:
        """Return the sampler of every pipeline that has one."""
        return [pipeline.sampler for pipeline in self.all() if pipeline.sampler is not None]

    def close(self, timeout_s: float) -> None:
        """Open no more, and close all at once."""
        with self._lock:
            self._closed = True
        pipelines = self.all()
        with ThreadPoolExecutor(len(pipelines)) as pool:
            list(pool.map(lambda one: one.close(timeout_s), pipelines))
