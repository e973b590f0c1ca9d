"""Who works on which trial: marks by which the trials of a killed process are told from those of a
live one.
"""

import os
import socket
import subprocess
from datetime import datetime

UNMARKED_SECONDS = (
    30  # after which a running trial without a mark was left by a worker killed before it set one
)


def worker_mark():
    """What a trial records of the process that works on it."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": process_start(os.getpid())}


def process_start(pid):
    """When a process of this machine started, as text; None if there is no such process, "" if it
    cannot be told.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id") as boot, open(f"/proc/{pid}/stat") as stat:
            # The name in the second field may hold blanks and brackets; zombies have ended for our
            # purpose.
            fields = stat.read().rpartition(")")[2].split()
            return None if fields[0] in "ZX" else f"{boot.read().strip()} {fields[19]}"
    except (FileNotFoundError, ProcessLookupError):
        if os.path.exists("/proc/self/stat"):
            return None
    if os.name != "posix":
        return ""
    listed = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], stdout=subprocess.PIPE, text=True, check=False
    )
    return listed.stdout.strip() or None


def is_foreign(trial):
    """Whether a running trial belongs to another machine, whose processes cannot be seen from
    here.
    """
    mark = trial.user_attrs.get("worker")
    return mark is not None and (mark["host"] != socket.gethostname() or mark["started"] == "")


def is_stale(trial):
    """Whether the process that worked on a running trial has ended; of another machine's trial that
    is not known.
    """
    mark = trial.user_attrs.get("worker")
    if mark is None:
        return (datetime.now() - trial.datetime_start).total_seconds() > UNMARKED_SECONDS
    return not is_foreign(trial) and process_start(mark["pid"]) != mark["started"]
