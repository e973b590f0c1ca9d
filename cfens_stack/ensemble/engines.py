"""Where the rows of a fit are: partitions on an engine. Functions go to the rows, sums come back.

Every step of a fit is a sum over rows, so the rows may be one array in memory, blocks of a memory
map, or parts of a matrix on the workers of a Dask cluster:

==========  ================================================  ==================================
engine      partitions                                        a step's result
==========  ================================================  ==================================
Eager       arrays in memory, mostly one                      computed at once, kept
Deferred    blocks of a memory map                            computed anew each time it is summed
a client    what `client.map` returns, such as Dask futures   computed and kept where the rows are
==========  ================================================  ==================================
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from cfens_stack.kernels.blocks import blocks

BLOCK_BYTES = 2**23  # of a block of rows in float64; a pass holds about ten such arrays
COPIES = 8  # arrays as large as R in float64 that a fit in memory holds at its peak, with room
FALLBACK_BYTES = 2**33  # of memory, where the system does not say how much it has


class Eager:
    """Steps are computed at once, one partition after another, and their results kept."""

    def map(self, function, *iterables):
        """function(part, ...) of each partition: list."""
        return list(map(function, *iterables))

    def gather(self, results):
        """The results, which are here already."""
        return results


class Deferred:
    """Steps are computed when their results are gathered, and forgotten: nothing grows with n.

    The price is that every pass over the rows applies the steps before it again.
    """

    def map(self, function, *iterables):
        """A call for each partition."""
        return [_Call(function, arguments) for arguments in zip(*iterables, strict=True)]

    def gather(self, results):
        """The results of the calls, one after another."""
        return [result() for result in results]


@dataclass(frozen=True)
class _Call:
    """function(*arguments), called each time it is asked for."""

    function: Callable
    arguments: tuple

    def __call__(self):
        return self.function(*(a() if isinstance(a, _Call) else a for a in self.arguments))


@dataclass(frozen=True)
class Partitions:
    """Partitions of rows on an engine.

    Attributes
    ----------
    engine : Eager, Deferred or a client such as `distributed.Client`
        Anything with `map(function, *iterables)`, whose results `map` takes again, and
        `gather(results)`.
    handles : list
        One for each partition: the partition itself, or what the engine has for it.
    """

    engine: Any
    handles: list

    def map(self, function, *iterables):
        """New partitions: function(part, ...) of each."""
        return Partitions(self.engine, self.engine.map(function, self.handles, *iterables))

    def gather(self, function):
        """function(part) of each, here: list of small results."""
        return self.engine.gather(self.engine.map(function, self.handles))

    def sum(self, function):
        """Sum of function(part), a tuple, over the partitions; added in pairs on the engine."""
        results = self.engine.map(function, self.handles)
        while len(results) > 1:
            odd = results[len(results) - len(results) % 2 :]
            pairs = results[: len(results) - len(odd)]
            results = [*self.engine.map(add, pairs[::2], pairs[1::2]), *odd]
        return self.engine.gather(results)[0]


def add(left, right):
    """Sum of two tuples, entry by entry."""
    return tuple(a + b for a, b in zip(left, right, strict=True))


def in_memory(*parts):
    """Partitions that are here."""
    return Partitions(Eager(), list(parts))


def by_row_blocks(R):
    """Partitions of an array that is too large to copy, or on disk: views of its rows."""
    return Partitions(Deferred(), [R[rows] for rows in row_slices(R)])


def too_large_to_copy(R):
    """Whether R is a memory map, or an array of whose size the memory does not hold several."""
    if not isinstance(R, np.ndarray) or R.ndim != 2 or R.dtype.kind not in "fiu":
        return False
    return isinstance(R, np.memmap) or COPIES * 8 * R.size > memory_bytes()


@cache
def memory_bytes():
    """Memory of this machine."""
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return FALLBACK_BYTES


def row_slices(R):
    """Slices that cut the rows of R into blocks of a size that suits the caches."""
    return blocks(len(R), max(1, BLOCK_BYTES // (8 * R.shape[1])))
