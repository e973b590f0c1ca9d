"""Warnings of base models, caught thread by thread: told once per model, with its name and folds.

`warnings.catch_warnings(record=True)` exchanges a function of the whole process, so fits in several
threads would take and lose each other's. Here one function stands for all of them and looks up the
list of the thread that warns.
"""

import threading
import warnings
from contextlib import contextmanager, nullcontext

_thread = threading.local()


class _ByThread:
    """Stands in for `warnings.showwarning`: into the list of this thread, if it has one."""

    def __init__(self, shown):
        self.shown = shown

    def __call__(self, message, category, filename, lineno, file=None, line=None):
        warned = getattr(_thread, "warned", None)
        if warned is None:
            self.shown(message, category, filename, lineno, file, line)
        else:
            warned.append((category.__name__, str(message)))


@contextmanager
def told_apart_by_thread():
    """Inside, `caught_warnings` can be used in several threads of this process at once."""
    before = warnings.showwarning
    warnings.showwarning = _ByThread(before)
    try:
        yield
    finally:
        warnings.showwarning = before


@contextmanager
def caught_warnings():
    """A list of (category, message) that the warnings of this thread go to, those that no filter
    ignores or makes an error.
    """
    before = getattr(_thread, "warned", None)
    warned = _thread.warned = []
    # A worker process begins without; in the process of the caller it is there already.
    there = isinstance(warnings.showwarning, _ByThread)
    try:
        with nullcontext() if there else told_apart_by_thread():
            yield warned
    finally:
        _thread.warned = before
