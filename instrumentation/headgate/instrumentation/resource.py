"""What produces the telemetry: service, version, container and commit, guessed from files only.

Used as the OpenTelemetry resource detector `headgate`. What OTEL_SERVICE_NAME and
OTEL_RESOURCE_ATTRIBUTES say is left alone. No command is run and no network is used.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry.sdk.resources import Resource, ResourceDetector

from headgate.instrumentation.attributes import (
    CONTAINER_ID,
    REVISION,
    SERVICE_NAME,
    SERVICE_VERSION,
)
from headgate.instrumentation.versions import installed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LAUNCHERS = frozenset(
    [
        "flask",
        "gunicorn",
        "uvicorn",
        "hypercorn",
        "daphne",
        "granian",
        "celery",
        "dramatiq",
        "huey",
        "rq",
        "fastapi",
        "django-admin",
        "manage",
        "wsgi",
        "asgi",
        "app",
        "main",
        "server",
        "run",
        "start",
        "pytest",
        "python",
        "opentelemetry-instrument",
        "__main__",
    ]
)
_CONTAINER = re.compile(r"(?:^|[/:-])([0-9a-f]{64})(?:\.scope)?(?:/|\s|$)", re.MULTILINE)
_PROJECT_LINE = re.compile(r"^(name|version)\s*=\s*[\"']([^\"']+)[\"']\s*(?:#.*)?$")


class Detector(ResourceDetector):
    """Finds service.name, service.version, container.id and vcs.ref.head.revision where it can."""

    def detect(self) -> Resource:
        """Never raises: what cannot be read is left out."""
        try:
            directory = Path.cwd()
        except OSError:
            directory = Path("/nonexistent")
        return Resource(dict(guess(os.environ, sys.orig_argv, directory)))


def guess(environ: Mapping[str, str], argv: Sequence[str], directory: Path) -> dict[str, str]:
    """Return the attributes that are not configured already."""
    configured = environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    project = project_table(directory)
    name = environ.get("OTEL_SERVICE_NAME") or _configured(configured, SERVICE_NAME)
    found: dict[str, str] = {}
    if not name:
        name = found[SERVICE_NAME] = (
            project.get("name") or script(argv) or directory.name or "python"
        )
    revision = commit(directory)
    if not _configured(configured, SERVICE_VERSION):
        version = installed(name) or project.get("version") or (revision or "")[:12]
        if version:
            found[SERVICE_VERSION] = version
    if revision:
        found[REVISION] = revision
    if container := container_id(
        _read(Path("/proc/self/cgroup")) + _read(Path("/proc/self/mountinfo"))
    ):
        found[CONTAINER_ID] = container
    return found


def library(scope: str, version: str) -> Resource:
    """Return the resource of private telemetry, which names no host, user or program."""
    return Resource(
        {
            SERVICE_NAME: scope,
            **({SERVICE_VERSION: version} if version else {}),
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "opentelemetry",
            "process.runtime.name": sys.implementation.name,
            "process.runtime.version": platform.python_version(),
            "os.type": platform.system().lower(),
        }
    )


def script(argv: Sequence[str]) -> str:
    """Return the program's name, or the empty string for a launcher or an unknown program."""
    rest = list(argv[1:])
    while rest:
        word = rest.pop(0)
        if word == "-m":
            return _own(rest[0].partition(".")[0]) if rest else ""
        if word == "-c":
            return ""
        if word in ("-W", "-X"):
            rest[:1] = []
        elif not word.startswith("-"):
            return _own(Path(word).stem)
    return ""


def project_table(directory: Path) -> dict[str, str]:
    """`name` and `version` of the [project] table in the directory's pyproject.toml."""
    found: dict[str, str] = {}
    inside = False
    # A line scan, because Python 3.10 has no TOML parser; anything unusual is simply not found.
    for line in _read(directory / "pyproject.toml").splitlines():
        stripped = line.strip()
        if stripped.startswith("["):
            inside = stripped == "[project]"
        elif inside and (match := _PROJECT_LINE.match(stripped)):
            found[match[1]] = match[2]
    return found


def commit(directory: Path) -> str:
    """Return the commit checked out around `directory`, or the empty string."""
    for folder in (directory, *directory.parents):
        git = folder / ".git"
        if not git.exists():
            continue
        if pointer := _read(git).removeprefix("gitdir:").strip() if git.is_file() else "":
            # A worktree or submodule: a file that names the real directory.
            git = (folder / pointer).resolve()
        head = _read(git / "HEAD").strip()
        if not head.startswith("ref:"):
            return head
        return _ref(git, head.removeprefix("ref:").strip())
    return ""


def container_id(text: str) -> str:
    """Return the container's id from its control groups or mounts; empty outside a container."""
    for line in text.splitlines():
        if ("containers" in line or "docker" in line or "kubepods" in line) and (
            match := _CONTAINER.search(line)
        ):
            return match[1]
    return ""


def _ref(git: Path, name: str) -> str:
    common = _read(git / "commondir").strip()
    shared = (git / common).resolve() if common else git
    for base in (git, shared):
        if loose := _read(base / name).strip():
            return loose
    for line in _read(shared / "packed-refs").splitlines():
        if line.endswith(" " + name):
            return line.partition(" ")[0]
    return ""


def _own(name: str) -> str:
    return "" if name.lower() in _LAUNCHERS or not name else name


def _configured(text: str, key: str) -> str:
    for item in text.split(","):
        name, _, value = item.partition("=")
        if name.strip() == key:
            return value.strip()
    return ""


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20)
    except OSError:
        return ""
