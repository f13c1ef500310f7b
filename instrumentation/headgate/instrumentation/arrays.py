"""Describe array arguments of NumPy, pandas and anything of the array API, importing none of them.

Whether a type is an array is decided once per type, on the class: no attribute of an instance is
touched that could start a computation.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLAIN = (str, bytes, int, float, bool, complex, type(None), list, tuple, dict, set, frozenset)
_LIMIT = 8

_kinds: dict[type, bool] = dict.fromkeys(_PLAIN, False)


def is_array(kind: type) -> bool:
    """Whether instances of `kind` have a shape and an element type."""
    known = _kinds.get(kind)
    if known is None:
        if len(_kinds) > 1024:
            # Types made at run time must not pile up here.
            _kinds.clear()
        known = hasattr(kind, "shape") and (hasattr(kind, "dtype") or hasattr(kind, "dtypes"))
        _kinds[kind] = known
    return known


def describe(
    args: tuple[object, ...], kwargs: dict[str, object]
) -> tuple[list[str], list[str], int] | None:
    """Return shapes, element types and number of elements of the array arguments, or None.

    At most the first eight arrays are described.
    """
    found: list[Any] | None = None
    for value in chain(args, kwargs.values()) if kwargs else args:
        if _kinds.get(type(value)) is False:
            continue
        if is_array(type(value)):
            if found is None:
                found = []
            found.append(value)
    if found is None:
        return None
    shapes, dtypes, size = [], [], 0
    for array in found[:_LIMIT]:
        shape = tuple(array.shape)
        shapes.append("x".join(map(str, shape)))
        dtypes.append(_dtype(array))
        # A dask array's unknown dimension is NaN, a symbolic one None.
        size += math.prod(length for length in shape if isinstance(length, int) or _index(length))
    return shapes, dtypes, int(size)


def _index(length: object) -> bool:
    return hasattr(type(length), "__index__")


def _dtype(array: Any) -> str:
    dtype = getattr(array, "dtype", None)
    if dtype is not None:
        return str(dtype)[:64]
    # A data frame: the distinct column types, in order.
    columns: Iterable[object] = dict.fromkeys(map(str, array.dtypes))
    return ",".join(map(str, columns))[:64]
