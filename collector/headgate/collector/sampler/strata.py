"""Name strata: by service, operation and outcome for spans, by service, severity and scope for logs, as configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from headgate.collector.sampler.hashing import intern_pairs, mix_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray


def strata_of(
    *columns: tuple[NDArray[Any], NDArray[np.uint64]],
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return each row's stratum and the lasting key of each stratum.

    A column is codes (0 or more), one a row, and a key for each code that is the same in every segment: a hash of the
    text that the code stands for, or the code itself where its numbers are fixed.
    """
    codes, keys = columns[0]
    code, first = intern_pairs(codes.astype(np.uint64), np.zeros(codes.size, np.uint64))
    key = keys[codes[first]]
    for codes, keys in columns[1:]:
        finer, first = intern_pairs(code.astype(np.uint64), codes.astype(np.uint64))
        key = mix_pairs(key[code[first]], keys[codes[first]])
        code = finer
    return code, key
