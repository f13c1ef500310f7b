"""Tenants: one pipeline each, with its own database and its own journal, opened when it is first needed.

What one tenant's database refuses keeps nobody else waiting; memory is one room for all. Segments, digests and the
ledger of a tenant lie in its own directory, so that a record belongs to a tenant by where it lies.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from headgate.collector.errors import Retryable
from headgate.collector.refusals import Refusals
from headgate.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.collector.pipeline import Pipeline
    from headgate.collector.sampling import Sampler

log = logging.getLogger(__name__)


class Tenants:
    """The pipelines by tenant; `own` is that of the server's own database, whose name as a tenant is empty.

    `refusals` counts requests that are in no tenant's ledger.
    """

    def __init__(
        self, own: Pipeline, open_: Callable[[str], Pipeline], *, began_s: float = 0.0
    ) -> None:
        """`open_` makes and starts a tenant's pipeline; raises StoreError or OSError when that cannot be done now.

        `began_s` is when the collector began, on the monotonic clock.
        """
        self.own = own
        self.began_s = began_s
        self.refusals = Refusals()
        self._open = open_
        self._pipelines: dict[str, Pipeline] = {"": own, own.database: own}
        self._lock = threading.Lock()
        self._closed = False

    def known(self, tenant: str) -> Pipeline | None:
        """Return a tenant's pipeline if it is open."""
        return self._pipelines.get(tenant)

    def pipeline(self, tenant: str) -> Pipeline:
        """Return a tenant's pipeline, opening it (about a second) if need be; raises Retryable."""
        found = self._pipelines.get(tenant)
        if found is not None:
            return found
        with self._lock:
            found = self._pipelines.get(tenant)
            if found is None:
                if self._closed:
                    raise Retryable("the collector is stopping")
                try:
                    found = self._open(tenant)
                except (StoreError, OSError) as error:
                    log.error("tenant %s cannot be opened: %s", tenant, error)  # noqa: TRY400  # no trace is needed
                    raise Retryable("the tenant's database cannot be opened now", 3.0) from error
                self._pipelines[tenant] = found
        return found

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
