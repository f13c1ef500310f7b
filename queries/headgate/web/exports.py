"""Exports as jobs: asked for, made one after the other by a thread of its own, kept for 90 days, downloaded.

queued -> processing -> completed | failed (REQ-EXP-02, -04). A job is a directory with `job.json` and the file. One
that a stop interrupted is failed at the next start. Every job leaves a line in the audit log.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import queue
import shutil
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from headgate.queries import ReportError
from headgate.queries.export import Extract, Progress, write
from headgate.queries.window import iso
from headgate.store import StoreError
from headgate.store.audit import note

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from headgate.store import Store

KEEP = timedelta(days=90)
MOST_WAITING = 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """An export and how far it is; `percent` is of rows, `file` the name to download it under.

    `notes` are what to know about the rows: what has expired, in which steps they are.
    """

    id: str
    kind: str
    format: str
    since: str
    until: str
    state: str
    created_at: str
    rows: int = 0
    rows_total: int = 0
    bytes: int = 0
    percent: float = 0.0
    error: str | None = None
    notes: Sequence[str] = ()

    @property
    def file(self) -> str:
        """The file's name."""
        return f"headgate-{self.kind}-{self.created_at[:10]}.{self.format}"


class _Removed(Exception):  # no error: who asked for the export does not want it any more
    """The job was removed while its file was being made."""


class ExportJobs:
    """The jobs of one store, in one directory."""

    def __init__(
        self,
        directory: Path,
        store: Store,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        """Take up the jobs that an earlier process left; `new_id` returns a name that nobody can guess."""
        self._directory = directory
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._queue: queue.Queue[tuple[str, Extract, str] | None] = queue.Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None
        for path in sorted(directory.glob("*/job.json")):
            try:
                job = Job(**json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError) as error:
                _log.error("%s is no export job: %s", path, error)  # no trace is needed
                continue
            if job.state in {"queued", "processing"}:
                job = dataclasses.replace(job, state="failed", error="the server stopped meanwhile")
                for part in path.parent.glob("*.part"):
                    part.unlink(missing_ok=True)
            self._jobs[job.id] = job

    def submit(self, extract: Extract, actor: str) -> Job:
        """Queue an export; raises ReportError when too many wait."""
        self._expire()
        now = self._clock()
        window = extract.window
        job = Job(
            self._new_id(), extract.kind, extract.format, iso(window.since), iso(window.until), "queued", iso(now),
            notes=list(extract.notes),
        )  # fmt: skip
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="headgate-export", daemon=True
                )
                self._thread.start()
        (self._directory / job.id).mkdir(parents=True)
        self._keep(job)
        try:
            self._queue.put_nowait((job.id, extract, actor))
        except queue.Full:
            self.remove(job.id)
            raise ReportError(
                f"{MOST_WAITING} exports wait already; try again when some are completed"
            ) from None
        return job

    def find(self, job_id: str) -> Job:
        """Return a job; raises KeyError."""
        return self._jobs[job_id]

    def all(self) -> list[Job]:
        """Return every job, the latest first."""
        return sorted(self._jobs.values(), key=lambda job: job.created_at, reverse=True)

    def path(self, job: Job) -> Path:
        """Return where a completed job's file lies."""
        return self._directory / job.id / f"data.{job.format}"

    def remove(self, job_id: str) -> None:
        """Forget a job and its file, and stop making it; raises KeyError."""
        with self._lock:
            del self._jobs[job_id]
        shutil.rmtree(self._directory / job_id, ignore_errors=True)

    def _expire(self) -> None:
        for job in self.all():
            if self._clock() - datetime.fromisoformat(job.created_at) > KEEP:
                self.remove(job.id)

    def _run(self) -> None:
        while (order := self._queue.get()) is not None:
            job_id, extract, actor = order
            if job_id in self._jobs:
                self._make(job_id, extract, actor)

    def _make(self, job_id: str, extract: Extract, actor: str) -> None:
        began = self._clock()
        job = dataclasses.replace(self._jobs[job_id], state="processing")
        self._keep(job)

        def follow(progress: Progress) -> None:
            with self._lock:
                if job_id not in self._jobs:
                    raise _Removed
                self._jobs[job_id] = dataclasses.replace(
                    job,
                    rows=progress.rows,
                    rows_total=progress.rows_total,
                    bytes=progress.bytes,
                    percent=round(100 * progress.rows / max(progress.rows_total, 1), 1),
                )

        try:
            done = write(self._store, extract, self.path(job), follow)
            job = dataclasses.replace(
                job, state="completed", rows=done.rows, rows_total=done.rows, bytes=done.bytes, percent=100.0
            )  # fmt: skip
        except _Removed:
            _log.info("the export %s was removed while it was made", job_id)
        except (ReportError, StoreError) as error:
            job = dataclasses.replace(self._jobs.get(job_id, job), state="failed", error=str(error))
        except Exception as error:  # noqa: BLE001  # one export must not end the thread of all
            _log.exception("the export %s failed", job_id)
            job = dataclasses.replace(
                self._jobs.get(job_id, job),
                state="failed",
                error=f"{type(error).__name__}; the log says why",
            )
        if job_id not in self._jobs:
            shutil.rmtree(self._directory / job_id, ignore_errors=True)
            return
        self._note(job, actor, began)  # first: who sees that it is done finds it in the audit log
        self._keep(job)

    def _keep(self, job: Job) -> None:
        """Write the job down, whole or not at all, before anybody sees it."""
        path = self._directory / job.id / "job.json"
        new = path.with_suffix(".new")
        new.write_text(json.dumps(dataclasses.asdict(job)), encoding="utf-8")
        new.replace(path)
        self._jobs[job.id] = job

    def _note(self, job: Job, actor: str, began: datetime) -> None:
        now = self._clock()
        try:
            note(
                self._store,
                now=now,
                actor=actor,
                action="export",
                object_=f"{job.kind} {job.since} {job.until}",
                rows=job.rows,
                duration_ms=(now - began) / timedelta(milliseconds=1),
                detail={"id": job.id, "format": job.format, "state": job.state, "bytes": job.bytes},
            )
        except Exception:  # noqa: BLE001  # the export itself is done; that it could not be noted must be seen
            _log.exception("the export %s could not be noted in the audit log", job.id)


def plain(job: Job) -> dict[str, Any]:
    """Return a job as the API shows it."""
    return {**dataclasses.asdict(job), "file": job.file if job.state == "completed" else None}
