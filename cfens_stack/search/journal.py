"""A journal file that survives torn writes: the storage of several processes on one machine."""

import json
import logging
import os
from typing import Any

logger = logging.getLogger(__name__)

_FIRST_OF_A_RECORD = b'{"op_code"'


class JournalError(ValueError):
    """A line of a journal that Optuna did not write."""


def open_journal(path):
    """The Optuna storage of a journal file, its torn last record dropped.

    Raises
    ------
    JournalError
        If a line is not a record of Optuna; the file is left as it is.
    """
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage

    class Backend(JournalFileBackend):
        def read_logs(self, log_number_from):
            try:
                for record in super().read_logs(log_number_from):
                    if not _is_of_optuna(record):
                        check_lines(path)
                    yield record
            except JournalError:
                raise
            except ValueError as error:  # of which JSONDecodeError is one
                check_lines(path)
                raise JournalError(f"Journal {path!r} cannot be read: {error}.") from error

    lock = JournalLock(path) if os.name == "posix" else JournalFileOpenLock(path)
    lock.acquire()
    try:
        _repair(path)
    finally:
        lock.release()
    try:
        return JournalStorage(Backend(path, lock_obj=lock))  # type: ignore[arg-type]
    except (AssertionError, KeyError, TypeError) as error:
        raise JournalError(
            f"Journal {path!r} holds a record that Optuna cannot apply ({error!r}). It is left as "
            "it is: open it with the version of Optuna that wrote it, or pass a new path."
        ) from error


class JournalLock:
    """Lock of a journal file for Optuna's JournalFileBackend, which every writer takes for each
    record.

    An advisory lock of the operating system, so that it ends with the process that holds it; a lock
    file, Optuna's own way, would hold up the others for 30 s after a kill. Whoever gets it removes
    the half record that a writer killed in mid-write may have left at the end, before the next
    record is glued to it.
    """

    def __init__(self, path):
        self.path = path
        self._held: Any = None

    def acquire(self):
        """Wait for the lock; True."""
        import fcntl

        held = open(self.path, "ab+")  # noqa: SIM115 -- open as long as the lock is held
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            if _lacks_line_break(held):
                _repair(self.path)
        except BaseException:
            held.close()
            raise
        self._held = held
        return True

    def release(self):
        """Give the lock back: closing the file does."""
        held, self._held = self._held, None
        held.close()

    def __getstate__(self):
        return {"path": self.path, "_held": None}


def check_lines(path):
    """Where the whole records of a journal end, in bytes; what is behind is a torn record.

    Raises
    ------
    JournalError
        If a line is neither a record nor a torn one at the end.
    """
    end, torn = 0, None
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            whole = line.endswith(b"\n") and _is_record(line)
            if whole and torn is None:
                end += len(line)
            elif not whole and _is_torn(line):
                torn = torn or number
            elif number == 1:
                raise JournalError(
                    f"storage={str(path)!r} is a file that does not begin like a journal of "
                    "Optuna, and is left as it is: pass a new path, or move it away."
                )
            else:
                raise JournalError(
                    f"Line {torn or number} of the journal {str(path)!r} is not a record of "
                    "Optuna. The trials before it are intact, and the file is left as it is: take "
                    "that line out, and start again."
                )
    return end


def _repair(path):
    """Cut off a torn last record; the caller holds the lock."""
    end, size = check_lines(path), os.path.getsize(path)
    if end < size:
        logger.warning("Journal %s: a torn last record of %d bytes is dropped.", path, size - end)
        os.truncate(path, end)


def _lacks_line_break(file):
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read() != b"\n"


def _is_record(line):
    try:
        return _is_of_optuna(json.loads(line))
    except ValueError:
        return False


def _is_of_optuna(record):
    return (
        isinstance(record, dict)
        and isinstance(record.get("op_code"), int)
        and isinstance(record.get("worker_id"), str)
    )


def _is_torn(line):
    """Whether a line that is no record can be the beginning of one, or a block never written."""
    try:
        json.loads(line)
        return False
    except ValueError:
        begins = line[: len(_FIRST_OF_A_RECORD)].rstrip(b"\n")
        return _FIRST_OF_A_RECORD.startswith(begins) or not line.strip(b"\0\n")
