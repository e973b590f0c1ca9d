"""BLAS on one thread while a fit or a prediction runs: its products are small, and threads cost more than they give."""

import threading
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


@contextmanager
def one_blas_thread():
    """Limit BLAS to one thread, and restore what was there; no effect outside the main thread.

    The limit is the process's: threads that set and restored it in turn could leave it behind, and OpenBLAS ignores
    what other threads than the main one ask for.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller():
    """Found once: looking for the libraries takes milliseconds."""
    return ThreadpoolController()
