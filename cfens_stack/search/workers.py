"""Which worker has a trial: marks by which the trials of a dead process are told from those of a
live one.
"""

import os
import socket
from datetime import datetime

import psutil

# After which a running trial without a mark was left by a worker killed before it set one.
UNMARKED_SECONDS = 30
CLOCK_SECONDS = 1.0  # two readings of the same start differ by less


def worker_mark():
    """What a trial records of the process that works on it."""
    return {**_machine(), "pid": os.getpid(), "started": process_start(os.getpid())}


def process_start(pid):
    """When a process of this machine started, in seconds; None if there is no such process."""
    try:
        since = psutil.boot_time() if psutil.LINUX else 0.0
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        # Linux counts from the boot and adds the clock, which may have been set since.
        return process.create_time() - since
    except psutil.NoSuchProcess:
        return None


def is_foreign(trial):
    """Whether the process of a running trial cannot be seen from here: it is on another machine, or
    in another container of this one.
    """
    mark = trial.user_attrs.get("worker")
    if mark is None:
        return False
    here = _machine()
    same_boot = mark["boot"] == here["boot"]
    return mark["host"] != here["host"] or (
        same_boot and mark["pid_namespace"] != here["pid_namespace"]
    )


def is_stale(trial):
    """Whether the process that worked on a running trial has ended; False where that cannot be
    told.
    """
    mark = trial.user_attrs.get("worker")
    if mark is None:
        return (datetime.now() - trial.datetime_start).total_seconds() > UNMARKED_SECONDS
    if is_foreign(trial):
        return False
    started = process_start(mark["pid"])
    return (
        mark["boot"] != _machine()["boot"]
        or started is None
        or abs(started - mark["started"]) > CLOCK_SECONDS
    )


def _machine():
    """What tells the processes of this machine, boot and container apart from others; None where
    the system has no such thing.
    """
    return {
        "host": socket.gethostname(),
        "boot": _boot(),
        "pid_namespace": _pid_namespace(),
    }


def _boot():
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return None


def _pid_namespace():
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return None
