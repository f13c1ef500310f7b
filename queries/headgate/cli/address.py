"""Addresses to listen on, as people write them: `host:port` or `[v6]:port`."""

from __future__ import annotations

import re


def split_address(address: str) -> tuple[str, int]:
    """Return (host, port) of `host:port` or `[v6]:port`; raises ValueError."""
    match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]+)):(\d{1,5})", address)
    if not match or int(match[3]) > 65535:
        raise ValueError(f"{address!r} is not HOST:PORT, for instance 127.0.0.1:4317")
    return match[1] or match[2], int(match[3])


def join_address(host: str, port: int) -> str:
    """Return what `split_address` splits."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
