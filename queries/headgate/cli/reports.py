"""`headgate reports`: which questions can be asked."""

from __future__ import annotations

import typer

from headgate.queries import entry, names


def reports() -> None:
    """List the reports and the question each answers.

    Ask one with `headgate report NAME`; `headgate report NAME --help` says how to narrow it.
    """
    known = names()
    width = max(len(name) for name in known)
    for name in known:
        typer.echo(f"{name:<{width}}  {entry(name).report.question}")
