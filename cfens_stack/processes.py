"""Worker processes that end when the process that started them is killed, instead of working on for
nobody.
"""

import os
import threading
import time

INTERVAL_SECONDS = 1.0
_watching_pid = None  # a forked child inherits the variable, but not the thread


def end_with(parent):
    """End this process soon after its parent `parent` (a pid) has; nothing happens in any other
    process.

    The kernel's own way (PR_SET_PDEATHSIG of Linux) would do so when the thread that started a
    worker ends. On Windows a process does not see its parent's end, so there workers stay until
    they are idle.
    """
    global _watching_pid
    if os.getppid() != parent or _watching_pid == os.getpid():
        return
    _watching_pid = os.getpid()
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="end_with_parent").start()


def _watch(parent):
    while os.getppid() == parent:
        time.sleep(INTERVAL_SECONDS)
    os._exit(1)
