"""`headgate report`: one question, answered in the terminal or into a file."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from headgate.queries import ReportError, entry
from headgate.queries.origin import from_directory, from_server, from_url
from headgate.queries.render import FORMATS, format_of, render, unshown
from headgate.queries.runner import DEFAULT_SINCE
from headgate.store import StoreError, default_data_directory

_NARROWEST = 60


def report(
    name: Annotated[str, typer.Argument(help="Which report; `headgate reports` lists them.")],
    *,
    since: Annotated[
        list[str] | None,
        typer.Option(
            help="Begin of the window: 24h or 7d back from now, monthly, today, all, or a time such as"
            " 2026-01-01T00:00Z. May be repeated: one answer for each. [default: 24h]"
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="End of the window, written likewise; now unless given.")
    ] = None,
    service: Annotated[str | None, typer.Option(help="Only this service.")] = None,
    operation: Annotated[
        str | None, typer.Option(help="Only this operation: a span's or an event's name.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Only uses with this span, log or resource attribute; may be repeated."
            " Answered from raw rows, which may be sampled.",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="ATTRIBUTE",
            help="Count by the values of this attribute instead of by operation.",
        ),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(help="Time zone of days, weeks and hours: Europe/Berlin. [default: UTC]"),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A parameter of this report alone, such as limit=50, or from a file: model=@costs.yaml;"
            " may be repeated.",
        ),
    ] = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help=f"One of {', '.join(FORMATS)}. Unless given, by the ending of --output, else table.",
        ),
    ] = "",
    chart: Annotated[
        int, typer.Option(min=1, help="For svg and png: which of the answer's charts.")
    ] = 1,
    table: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="For csv and parquet, which hold one table: rows (the default), summary, or a list of the"
            " summary such as timeline; docs/reference/reports.md has those of each report.",
        ),
    ] = "",
    rows: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Show at most this many rows of each table, 0 for all; 50 in tables, 100 in pdf and 300 in html"
            " unless given. json, csv, xlsx and parquet hold all.",
        ),
    ] = None,
    fonts: Annotated[
        Path | None,
        typer.Option(
            envvar="HEADGATE_FONTS",
            exists=True,
            file_okay=False,
            help="Directory of fonts for pdf and png, for scripts that no font of the system has.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write to this file instead of the terminal.")
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Directory of the embedded store; $HEADGATE_DATA or ~/.local/share/headgate unless"
            " given. A server that owns it is asked. Or files of OTLP, or a directory of them, such"
            " as a library's local telemetry; may then be repeated."
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(help="ClickHouse server instead: http://user:password@host:8123/database."),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Headgate's API on another machine: https://host:8686."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="HEADGATE_TOKEN", help="Token for a server; its tenant's data is asked."
        ),
    ] = None,
) -> None:
    """Answer one report from what was recorded.

    For example: `headgate report usage --since 7d`, or
    `headgate report errors --service shop --format json --output errors.json`.
    """
    if sum(place is not None for place in (data or None, store, server)) > 1:
        raise StoreError("--data, --store and --server name several places; give one of them")
    entry(name)  # what there is not is refused before any store is opened for it
    written = format_of(output.suffix.removeprefix(".") if output else "", format_, "table")
    question: dict[str, Any] = {
        "until": until,
        "service": service,
        "operation": operation,
        "where": _pairs(where or [], "--where"),
        **{k: v for k, v in {"by": by, "timezone": timezone}.items() if v is not None},
    }
    own = {key: _text(value) for key, value in _pairs(set_ or [], "--set").items()}
    taken = sorted(own.keys() & {*question, "since", "name", "store", "now", "format", "width"})
    if taken:
        raise ReportError(
            f"--set {taken[0]} is not possible: it is no parameter of the report alone"
        )
    documents = [
        _document(Place(store, data or [], server, token), name, question | own | {"since": begin})
        for begin in since or [DEFAULT_SINCE]
    ]
    _write(
        documents, written, output, {"chart": chart, "table": table, "rows": rows, "fonts": fonts}
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where the data is, as the options say; `token` is for a server."""

    store: str | None
    data: list[Path]
    server: str | None
    token: str | None


def _document(place: Place, name: str, question: dict[str, Any]) -> dict[str, Any]:
    """Get the report's document from wherever the data is."""
    data = place.data
    if place.store:
        return from_url(place.store, name, question)
    if place.server:
        return from_server(place.server, name, question, place.token)
    if data:
        from headgate.cli.files import from_files, telemetry_files

        if files := telemetry_files(data):
            document, problems = from_files(files, name, question)
            for problem in problems:
                typer.echo(f"headgate: not counted: {problem}", err=True)
            return document
    if len(data) > 1:
        raise StoreError("several --data must be files of OTLP; name one directory of a store")
    directory = data[0] if data else default_data_directory(os.environ)
    return from_directory(directory, name, question, place.token)


def _pairs(texts: list[str], option: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise ReportError(f"{option} {text!r} is not possible: write {option} key=value")
        if key in pairs:
            raise ReportError(f"{option} {key} is given twice; give one value")
        pairs[key] = value
    return pairs


def _text(value: str) -> str:
    """Return a value, or what is in the file that `@FILE` names."""
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ReportError(f"cannot read {value[1:]}: {reason}; name a file with @FILE") from error


def _write(
    documents: list[dict[str, Any]], format_: str, output: Path | None, options: dict[str, Any]
) -> None:
    """Write one answer, or several: as JSON an array, else as the format holds several."""
    terminal = output is None and sys.stdout.isatty()
    if not FORMATS[format_].text and terminal:
        raise ReportError(f"{format_} is nothing for a terminal: name a file with --output FILE")
    width = max(shutil.get_terminal_size().columns, _NARROWEST)
    color = terminal and "NO_COLOR" not in os.environ
    data = render(documents, format_, width=width, color=color, **options)
    if lacking := unshown(documents, format_, options["fonts"]):
        typer.echo(f"headgate: {lacking}", err=True)
    if output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        output.write_bytes(data)
    except OSError as error:
        raise ReportError(
            f"cannot write {output}: {error.strerror}; name another file with --output FILE"
        ) from error
