"""Predictions too large to copy: rows are worked on block by block, each step computed anew from R
when it is summed.

`fit_partitions` runs on this as on a cluster. Nothing that grows with n is held besides R, the
labels and the weights; the price is that every pass over the rows applies link and centring again.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cfens_stack.kernels.blocks import blocks

LARGE = 2**28  # bytes of R
BLOCK_BYTES = 2**23  # of a block in float64; a pass holds about ten such arrays


@dataclass(frozen=True)
class Deferred:
    """function(*arguments), called each time it is asked for."""

    function: Callable
    arguments: tuple

    def __call__(self):
        return self.function(*(a() if isinstance(a, Deferred) else a for a in self.arguments))


class BlockByBlock:
    """The part of a Dask client's interface that `fit_partitions` uses: deferred calls, evaluated
    one after another.
    """

    def map(self, function, *iterables):
        return [Deferred(function, arguments) for arguments in zip(*iterables, strict=True)]

    def gather(self, results):
        return [result() for result in results]


def is_large(R):
    """Whether R is an array of numbers of 256 MB or more, in memory or on disk."""
    return isinstance(R, np.ndarray) and R.ndim == 2 and R.dtype.kind in "fiu" and R.nbytes >= LARGE


def by_blocks(method, R):
    """method(R), an array with a row for each of R's, from blocks of R."""
    result = None
    for rows in _slices(R):
        part = method(R[rows])
        if result is None:
            result = np.empty((len(R), *part.shape[1:]), dtype=part.dtype)
        result[rows] = part
    return result


def row_blocks(R):
    """Views of R that together are its rows, in order."""
    return [R[rows] for rows in _slices(R)]


def _slices(R):
    return blocks(len(R), max(1, BLOCK_BYTES // (8 * R.shape[1])))
