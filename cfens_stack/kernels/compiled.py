"""Where kernels compiled by numba take over from numpy."""

from functools import cache
from importlib import import_module

COMPILED_FROM = 8192  # rows; for fewer, loading numba (most of a second) costs more than it saves


def compiled_kernel(name, C):
    """The module `name` of this folder where it serves, else None.

    It serves many rows with a confidence for each cell, C (n, m), where numba is installed.
    """
    return _loaded(name) if C.ndim == 2 and len(C) >= COMPILED_FROM else None


@cache
def _loaded(name):
    try:
        return import_module(f"cfens_stack.kernels.{name}")
    except (ImportError, RuntimeError):
        # Not installed, or not for this numpy; or there is no folder to keep compiled code in.
        return None
