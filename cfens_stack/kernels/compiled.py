"""Where kernels compiled by numba take over from numpy."""

import logging
from functools import cache
from importlib import import_module
from pathlib import Path

COMPILED_FROM = 8192  # rows; for fewer, loading numba (most of a second) costs more than it saves
KEPT = (
    Path(__file__).parent / "__pycache__"
)  # where numba keeps compiled code, if it may write there

logger = logging.getLogger(__name__)


def compiled_kernel(name, C):
    """The module `name` of this folder where it serves, else None.

    It serves many rows with a confidence for each cell, C (n, m), where numba is installed.
    """
    return load(name) if C.ndim == 2 and len(C) >= COMPILED_FROM else None


@cache
def load(name):
    """The module `name` of this folder; None where numba is not installed, or not for this numpy, or
    there is no folder to keep compiled code in.
    """
    try:
        kernel = import_module(f"cfens_stack.kernels.{name}")
    except (ImportError, RuntimeError):
        return None
    if not any(KEPT.glob(f"{name}.*.nbi")):
        logger.info(
            "numba compiles %s, unless an earlier process has: this takes seconds, once per "
            "installation.",
            name,
        )
    return kernel
