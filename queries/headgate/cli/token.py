"""`headgate token`: make, list and revoke the tokens that a server asks for."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path  # typer reads the annotations
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from headgate.store import StoreError, default_data_directory
from headgate.web.tokens import (
    FILE_NAME,
    Role,
    check_tenant,
    create_token,
    read_tokens,
    revoke_token,
)

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Make, list and revoke the tokens that a server asks for, without a restart.",
)
Data = Annotated[
    Path | None,
    typer.Option(help="Data directory of the server. [default: per-user data directory]"),
]
File = Annotated[
    Path | None,
    typer.Option("--tokens", help="File of tokens. [default: tokens.json in the data directory]"),
]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for, such as the application's name.")],
    *,
    role: Annotated[
        Role, typer.Option(help="ingest sends, read asks, admin does both and changes settings.")
    ] = Role.INGEST,
    tenant: Annotated[
        str,
        typer.Option(help="Tenant: a ClickHouse database of its own. [default: the server's]"),
    ] = "",
    days: Annotated[
        int | None, typer.Option(min=1, help="Days until it expires; never unless given.")
    ] = None,
    data: Data = None,
    tokens: File = None,
) -> None:
    """Make a token and print it, the only time that it is seen.

    The first one makes the server ask everybody for a token.
    """
    if tenant:
        check_tenant(tenant)
    now = datetime.now(UTC)
    expires = now + timedelta(days=days) if days else None
    path = _path(data, tokens)
    first = not path.exists()
    made, secret = create_token(path, name=name, tenant=tenant, role=role, now=now, expires=expires)
    typer.echo(secret)
    typer.echo(f"token {made.id} is kept, hashed, in {path}", err=True)
    if first:
        typer.echo("from now on the server asks everybody for a token", err=True)


@app.command(name="list")
def list_(*, data: Data = None, tokens: File = None) -> None:
    """List tokens: what they are for, not the tokens themselves."""
    table = Table("id", "name", "role", "tenant", "created", "expires", box=None)
    for token in read_tokens(_path(data, tokens)):
        expires = token.expires.strftime("%Y-%m-%d") if token.expires else "never"
        created = token.created.strftime("%Y-%m-%d")
        table.add_row(token.id, token.name, token.role, token.tenant or "(own)", created, expires)
    Console().print(table)


@app.command()
def revoke(
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `headgate token list` has it.")],
    *,
    data: Data = None,
    tokens: File = None,
) -> None:
    """Revoke a token; a running server refuses it within a second."""
    gone = revoke_token(_path(data, tokens), identity)
    typer.echo(f"token {gone.id} ({gone.name}) is revoked", err=True)


def _path(data: Path | None, tokens: Path | None) -> Path:
    if data and tokens:
        raise StoreError("--data and --tokens name two places; give one of them")
    return tokens or (data or default_data_directory(os.environ)) / FILE_NAME
