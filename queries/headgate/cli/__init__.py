"""The `headgate` command: subcommands by name, each in a module of its own that is loaded only when it is called.

A failure that the caller can do something about is one sentence on standard error and exit code 2.
"""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

if TYPE_CHECKING:
    from collections.abc import Callable

# name -> (module:function, what the list of commands says about it)
COMMANDS = {
    "serve": ("headgate.cli.serve:serve", "Receive OpenTelemetry data and answer reports."),
    "status": ("headgate.cli.status:status", "Show how the running server is; --watch for live."),
    "report": ("headgate.cli.report:report", "Answer one report from what was recorded."),
    "reports": ("headgate.cli.reports:reports", "List the reports and the question each answers."),
    "export": (
        "headgate.cli.export:export",
        "Write rows into a file: events, traces, logs, usage.",
    ),
    "warmup": ("headgate.cli.warmup:warmup", "Compile the collector's kernels ahead of time."),
    "demo": (
        "headgate.cli.demo:demo",
        "Watch a small web shop being counted, then read its reports.",
    ),
    "sampling": (
        "headgate.cli.sampling:app",
        "Show, set or simulate what is kept of the detail when it is busy.",
    ),
    "forget": (
        "headgate.cli.forget:forget",
        "Remove a person from everything that is stored.",
    ),
    "ledger": (
        "headgate.cli.ledger:ledger",
        "Show what was received and what became of it; exit 1 if it does not close.",
    ),
    "bench": ("headgate.cli.bench:bench", "Measure what ingesting costs on this machine."),
    "token": ("headgate.cli.token:app", "Make, list and revoke the tokens that a server asks for."),
    "import": ("headgate.cli.import_:import_", "Load OTLP files that were written elsewhere."),
}
_EXPECTED = (
    ("headgate.store.errors", "StoreError"),
    ("headgate.queries.errors", "ReportError"),
)
EXIT_FAILURE = 2


class LazyGroup(TyperGroup):
    """A group that knows its commands by name and loads only the one that is called."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        """Return the names in the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - typer's signature
        """Return what the list of commands needs to know; `resolve_command` returns the real one."""
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name][1])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the called command, loaded."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and _load(COMMANDS[str(name)][0]), rest


def _load(target: str) -> Any:
    module, _, function = target.partition(":")
    loaded: Callable[..., Any] = getattr(importlib.import_module(module), function)
    if isinstance(loaded, typer.Typer):
        return get_command(loaded)
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command()(loaded)
    return get_command(single)


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(f"headgate {version('headgate')}")
        raise typer.Exit


@app.callback()
def headgate(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Count the usage of anything instrumented with OpenTelemetry, exactly, and ask about it.

    Start with `headgate demo`, or with `headgate serve` and your own application; then `headgate report usage`.
    """


def main() -> None:
    """Run the command line; never returns."""
    try:
        app(prog_name="headgate")
    except Exception as error:
        if not _is_expected(error):
            raise
        sys.stderr.write(f"headgate: {error}\n")
        sys.exit(EXIT_FAILURE)


def _is_expected(error: Exception) -> bool:
    """Whether the message is meant for the caller. What was never loaded cannot have been raised."""
    kinds = tuple(
        getattr(sys.modules[module], name) for module, name in _EXPECTED if module in sys.modules
    )
    return isinstance(error, kinds)
