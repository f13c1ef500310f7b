"""Turn values into attributes: no secrets, no personal data that can be told, no foreign code run.

Patterns err on the side of removing. Nothing here keeps a reference to a value, and no `__repr__`
of a foreign object is run.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from headgate.instrumentation.encodable import encodable

if TYPE_CHECKING:
    from opentelemetry.util.types import AnyValue

REDACTED = "[redacted]"
_SECRET_NAME = re.compile(
    r"pass(?:w|_|-|$|phrase)|pwd|secret|token|api_?key|access_?key|auth|credential|cookie|private|signature|salt|ssn|iban"
    r"|card|cvv|(?:^|_)pin(?:$|_)",
    re.IGNORECASE,
)
_SECRETS = re.compile(
    r"-----BEGIN [^-]*-----(?:.|\n)*?(?:-----END [^-]*-----|$)"
    r"|\beyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?"
    r"|(?i:\b(?:bearer|basic)\s+[\w.~+/=-]{8,})"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
    r"|(?i:\b(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key)\b\s*[=:]\s*)[^\s,;&]+"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|\b(?:sk|pk|rk|ghp|gho|ghs|glpat|xox[abp])[-_][\w-]{10,}"
    r"|[\w.+-]+@[\w-]+\.[\w.-]+"
    r"|\b(?:\d[ -]?){13,19}\b"
    r"|\b[0-9a-fA-F]{32,}\b"
    r"|(?<![\w/+])(?=[\w/+]*\d)(?=[\w/+]*[A-Z])(?=[\w/+]*[a-z])[A-Za-z0-9+/]{40,}={0,2}"
)
_HOME = re.compile(r"(?:/home|/Users|[A-Za-z]:\\Users)[/\\][^/\\\s\"']+|/root(?=[/\s\"']|$)")
_INT64 = 2**63


def clean(text: str, limit: int) -> str:
    """Return `text` without secrets, addresses, card numbers and home directories, cut to `limit`."""
    # Cutting first bounds the work; the margin keeps a secret that straddles the limit
    # recognisable.
    short = _HOME.sub("~", _SECRETS.sub(REDACTED, text[: limit + 256]))
    return encodable(short[:limit])


def secret(name: str) -> bool:
    """Whether a parameter of this name is never recorded."""
    return _SECRET_NAME.search(name) is not None


def parameter(name: str, value: object) -> str | int | float | bool:  # noqa: PLR0911  # a table of types
    """Return an argument as an attribute: plain values redacted and cut to 128, others as type names."""
    if secret(name):
        return REDACTED
    kind = type(value)
    if kind is bool or kind is float:
        return value  # type: ignore[return-value]  # the type was just tested, exactly
    if kind is int:
        return value if -_INT64 <= value < _INT64 else "int"  # type: ignore[return-value, operator]  # as above
    if kind is str:
        return clean(value, 128)  # type: ignore[arg-type]  # as above
    if value is None:
        return "None"
    if isinstance(value, Enum):
        return encodable(value.name[:128])
    return encodable(kind.__qualname__[:128])


def attribute(value: object) -> AnyValue:
    """Return a value in a form that every exporter can encode; text is cut to 4096 characters."""
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if -_INT64 <= value < _INT64 else str(value)
    if isinstance(value, str):
        return encodable(value[:4096])
    if isinstance(value, Enum):
        return attribute(value.value)
    if isinstance(value, list | tuple | set | frozenset):
        return _sequence(list(value)[:64])
    return encodable(str(value)[:4096])


def _sequence(values: list[object]) -> AnyValue:
    cleaned = [attribute(value) for value in values]
    # OTLP arrays may mix types but ClickHouse readers and SDK checks want one.
    if len({type(value) for value in cleaned}) > 1:
        return [str(value) for value in cleaned]
    return cleaned
