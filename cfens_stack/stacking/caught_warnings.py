"""Warnings of base models, caught thread by thread: told once per model, with its name and folds.

`warnings.catch_warnings(record=True)` exchanges a function of the whole process, so fits in several
threads would take and lose each other's. Here one function stands for all of them and looks up the
list of the thread that warns.
"""

import threading
import warnings
from contextlib import contextmanager

_thread = threading.local()
_lock = threading.Lock()


class _ByThread:
    """Stands in for `warnings.showwarning`: into the list of this thread, if it has one."""

    def __init__(self, shown):
        self.shown = shown
        self.users = 0

    def __call__(self, message, category, filename, lineno, file=None, line=None):
        warned = getattr(_thread, "warned", None)
        if warned is None:
            self.shown(message, category, filename, lineno, file, line)
        else:
            warned.append((category.__name__, str(message)))


@contextmanager
def told_apart_by_thread():
    """Inside, `caught_warnings` can be used in several threads of this process at once. The last of
    several users, nested or at the same time, puts back what was there before the first.
    """
    with _lock:
        if not isinstance(warnings.showwarning, _ByThread):
            warnings.showwarning = _ByThread(warnings.showwarning)
        by_thread = warnings.showwarning
        by_thread.users += 1
    try:
        yield
    finally:
        with _lock:
            by_thread.users -= 1
            if by_thread.users == 0 and warnings.showwarning is by_thread:
                warnings.showwarning = by_thread.shown


@contextmanager
def caught_warnings():
    """A list of (category, message) that the warnings of this thread go to, those that no filter
    ignores or makes an error.
    """
    before = getattr(_thread, "warned", None)
    warned = _thread.warned = []
    try:
        with told_apart_by_thread():
            yield warned
    finally:
        _thread.warned = before
