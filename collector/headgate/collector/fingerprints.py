"""Fingerprints of all errors of a segment, as `headgate.store.fingerprint` defines them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.heap import Heap, intern
from headgate.store.fingerprint import fingerprint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.layout import Text


def fingerprints(heap: Heap, error_type: Text, stack: Text, message: Text) -> NDArray[np.uint64]:
    """Return the fingerprint of each error."""
    codes = []
    distinct = []
    for text in (error_type, stack, message):
        code, unique = intern(heap, text)
        codes.append(code.astype(np.int64))
        distinct.append(heap.read(unique))
    triples, inverse = np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)
    values = [
        fingerprint(distinct[0][t], distinct[1][s], distinct[2][m]) for t, s, m in triples.tolist()
    ]
    return np.array(values, np.uint64)[inverse.reshape(-1)]
