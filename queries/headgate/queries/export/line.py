"""The line of text that the engine makes of a row: CSV (RFC 4180) or JSON.

Values are joined column by column. The engine's own `formatRow` and its JSON of a map go value by value, which takes
three times as long; what they write is written here, byte for byte. Types without a quick way here are left to them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate.queries.export.extract import Field

_TEXT = {"String", "LowCardinality(String)"}
_ATTRIBUTES = "Map(LowCardinality(String), String)"
_NUMBER = re.compile(r"U?Int\d+|Float64|Bool")
_TIME = re.compile(r"DateTime(64)?\(.*'UTC'\)")
_NULLABLE = re.compile(r"Nullable\((.+)\)")


def csv_line(fields: Sequence[Field]) -> str:
    """Return the expression of a record: text, times and composite values, which are JSON, in quotes; NULL is empty.

    What is no UTF-8 is replaced, as in every format: one such byte would make the whole file unreadable.
    """
    values = [*map(_csv, fields)]
    if len(fields) == 1 and _NULLABLE.fullmatch(fields[0].type):
        values = [f"if(isNull({fields[0].sql}), '\"\"', {values[0]})"]  # readers skip empty lines
    return "toValidUTF8(concat(" + ", ',', ".join(values) + r", '\n'))"


def json_line(fields: Sequence[Field]) -> str:
    """Return the expression of an object, one key a field; what is no UTF-8 is replaced."""
    members = (f"toJSONString({literal(f.name)}), ':', {_json(f)}" for f in fields)
    return "toValidUTF8(concat('{', " + ", ',', ".join(members) + r", '}\n'))"


def typed(field: Field) -> str:
    """Return the expression of a value that stays typed; what is no UTF-8 in texts and attributes is replaced."""
    if field.type in _TEXT:
        return f"toValidUTF8({field.sql})"
    if field.type == _ATTRIBUTES:
        return f"mapApply((k, v) -> (k, toValidUTF8(v)), {field.sql})"
    return field.sql


def cell(field: Field) -> str:
    """Return the expression of a workbook's value: typed, and composite ones as the JSON that they are in CSV."""
    return f"toValidUTF8({_json(field)})" if field.composite else typed(field)


def literal(text: str) -> str:
    """Return a text as SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _csv(field: Field) -> str:
    if field.type == _ATTRIBUTES:
        # Quotes inside of texts are few; those around them, forty a row, are written doubled at once.
        inside = """replaceAll(left(right(toJSONString({}), -1), -1), '"', '""')"""
        return _object(field.sql, inside, '""', '"')
    if field.composite or field.type in _TEXT:
        return _quoted(_json(field) if field.composite else field.sql)
    if _TIME.fullmatch(field.type):
        return f"toJSONString({field.sql})"  # its quotes are those of CSV, and nothing in it needs more
    if _NUMBER.fullmatch(field.type):
        return f"toString({field.sql})"
    if (inner := _NULLABLE.fullmatch(field.type)) and _NUMBER.fullmatch(inner[1]):
        return f"ifNull(toString({field.sql}), '')"
    return f"formatRowNoNewline('CSV', {field.sql})"


def _json(field: Field) -> str:
    if field.type == _ATTRIBUTES:
        return _object(field.sql, "toJSONString({})", "")
    # NULL would make the whole line NULL; for types that have none the engine leaves `ifNull` out.
    return f"ifNull(toJSONString({field.sql}), 'null')"


def _object(attributes: str, text: str, quote: str, outer: str = "") -> str:
    """Return the expression of an object; `text` is that of a key or a value, which stands between `quote`s."""
    parts = (f"'{quote}'", text.format("k"), f"'{quote}:{quote}'", text.format("v"), f"'{quote}'")
    pairs = f"arrayMap((k, v) -> concat({', '.join(parts)}), mapKeys({attributes}), mapValues({attributes}))"
    return f"concat('{outer}{{', arrayStringConcat({pairs}, ','), '}}{outer}')"


def _quoted(text: str) -> str:
    return f"""'"', replaceAll({text}, '"', '""'), '"'"""
