"""What is wrong with a setting, in a sentence: the key, where it stands, its value and the remedy."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic_core import ErrorDetails

# "Input should be a valid integer, unable to ...", "Input is not a valid path for <class ...>"
_BOUND = re.compile(r"Input (?:should be|is not) ([^,<]*?)(?:,| for <|$)")


def is_section(annotation: Any) -> bool:
    """Return whether a setting is a section: keys of its own, as YAML."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def complaint(model: type[BaseModel], problem: ErrorDetails, origins: Mapping[str, str]) -> str:
    """Return one problem of a settings model in words; `origins` tell where each key was given."""
    key, *path = (str(part) for part in problem["loc"])
    origin = origins[key]
    field = model.model_fields.get(key)
    if path and field and is_section(field.annotation):
        dotted = ".".join(path)
        is_file = origin.startswith(f"{key} ")
        origin = origin.replace(key, f"{key}.{dotted}", 1) if is_file else f"{dotted} in {origin}"
    if problem["type"] == "extra_forbidden":
        known = list(_keys_beside(model, [key, *path]))
        close = difflib.get_close_matches([key, *path][-1], known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
        return f"unknown key {origin}; {hint}"
    if problem["type"] == "value_error":  # one of ours, it names the value
        return f"{origin}: {problem['ctx']['error']}"
    if problem["type"] == "missing":
        return f"{origin} is missing"
    bound = _BOUND.match(problem["msg"])
    must = f"it must be {bound[1]}" if bound else problem["msg"]
    return f"{origin}: {must}, not {problem['input']!r}"


def _keys_beside(model: type[BaseModel], path: list[str]) -> Iterable[str]:
    """Return the keys that a section knows, by the path of one that it does not; indices of lists are passed over."""
    for key in path[:-1]:
        field = model.model_fields.get(key)
        inner = field.annotation if field else None
        inner = inner if is_section(inner) else next(iter(get_args(inner)), None)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    return model.model_fields
