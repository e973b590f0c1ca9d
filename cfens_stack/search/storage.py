"""Where a search keeps its trials: storages by name, and a journal that survives torn writes."""

import errno
import json
import logging
import os
import time
import warnings
from contextlib import contextmanager
from typing import Any

from cfens_stack.search.passwords import hide_password

logger = logging.getLogger(__name__)

JOURNAL_SUFFIXES = (".log", ".journal", ".jsonl")
HEARTBEAT_SECONDS = (
    30  # of a trial on a database server; one without for four times as long counts as lost
)
SQLITE_TIMEOUT_SECONDS = 60
CONNECT_ATTEMPTS = 5
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_FIRST_OF_A_RECORD = b'{"op_code"'


def journal_path(storage):
    """Path of the journal file that `storage` names, or None."""
    if isinstance(storage, os.PathLike):
        return os.fspath(storage)
    if not isinstance(storage, str):
        return None
    if storage.startswith("journal://"):
        return storage.removeprefix("journal://")
    return storage if "://" not in storage and storage.endswith(JOURNAL_SUFFIXES) else None


def is_shared(storage):
    """Whether several processes may work on the storage at once: a journal file or a database
    server.
    """
    if journal_path(storage) is not None:
        return True
    return isinstance(storage, str) and "://" in storage and not storage.startswith("sqlite")


def open_storage(storage):
    """The Optuna storage that `storage` names.

    Parameters
    ----------
    storage : None, str, path or optuna.storages.BaseStorage
        None: memory. "journal:///absolute/path", "journal://relative/path", a path object, or a str
        ending in .log, .journal or .jsonl: a journal file. Any other URL: a database through
        SQLAlchemy.

    Raises
    ------
    ValueError
        If the name is none of these, the file is no journal or no database, the journal holds a
        broken line before its last, or the database cannot be reached.
    ImportError
        If the driver of the database is not installed.
    """
    import optuna

    path = journal_path(storage)
    if path is not None:
        return _open_journal(path)
    if not isinstance(storage, str):
        return storage if storage is not None else optuna.storages.InMemoryStorage()
    if "://" not in storage:
        raise ValueError(
            f"storage={storage!r} is neither a URL nor a journal file: pass "
            f"'sqlite:///trials.db', a path that ends in {', '.join(JOURNAL_SUFFIXES)}, "
            "'journal:///path', or 'postgresql+psycopg://user@host/database'."
        )
    return _open_database(hide_password(storage))


def _open_database(storage):
    """A database, or an error that names it without its password."""
    import optuna
    from sqlalchemy import NullPool, make_url
    from sqlalchemy.exc import ArgumentError, DBAPIError

    url = str(storage)
    try:
        if url.startswith("sqlite"):
            settings: dict[str, Any] = {"connect_args": {"timeout": SQLITE_TIMEOUT_SECONDS}}
            if make_url(url).database not in (None, "", ":memory:"):
                settings["poolclass"] = (
                    NullPool  # a pool would hold the file open, after errors as well
                )
            return optuna.storages.RDBStorage(url, engine_kwargs=settings)
        return _connect(url)
    except ImportError as error:
        raise ImportError(
            f"storage={storage!r} needs a database driver that is not installed "
            f"({error.__cause__}): pip install it, 'psycopg[binary]' for postgresql+psycopg://."
        ) from error
    except (ArgumentError, ValueError):  # whose texts may hold the password
        raise ValueError(
            f"storage={storage!r} is not the URL of a database: pass 'sqlite:///trials.db' or "
            "'postgresql+psycopg://user@host:port/database', special characters of a password "
            "percent-encoded."
        ) from None
    except DBAPIError as error:
        raise ValueError(
            f"storage={storage!r} cannot be opened: {error.orig}. Pass a database that can be "
            "reached, of Optuna's or empty; for sqlite a file in a folder that exists, on a disk "
            "with room."
        ) from error


@contextmanager
def storage_errors():
    """A study that cannot be written, as on a full disk, ends the search with an OSError that says
    so.
    """
    try:
        yield
    except Exception as error:
        # An assertion in a `finally` of Optuna hides what its storage raised.
        cause = error.__context__ if isinstance(error, AssertionError) else error
        if cause is None or not is_of_storage(cause):
            raise
        reason = cause.__cause__ or cause
        raise OSError(
            f"The study cannot be read or written ({getattr(reason, 'orig', reason)}). What is "
            "stored stays as it is: if the disk is full make room, and fit again with the same "
            "storage and study name."
        ) from cause


def is_of_storage(error):
    """Whether an exception says that a storage cannot be read or written."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import DBAPIError

    return (
        isinstance(error, StorageInternalError | DBAPIError)
        or getattr(error, "errno", None) in _NO_ROOM
    )


def _connect(url):
    """A database server; workers that start together on an empty one collide in making the tables,
    and try again.
    """
    import optuna
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        for attempt in range(CONNECT_ATTEMPTS):
            try:
                return optuna.storages.RDBStorage(
                    url,
                    engine_kwargs={"pool_pre_ping": True},
                    heartbeat_interval=HEARTBEAT_SECONDS,
                    grace_period=4 * HEARTBEAT_SECONDS,
                )
            except (IntegrityError, ProgrammingError):
                if attempt == CONNECT_ATTEMPTS - 1:
                    raise
                time.sleep(0.2 * 2**attempt)
    return None


def _open_journal(path):
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage

    _refuse_other_files(path)
    lock = JournalLock(path) if os.name == "posix" else JournalFileOpenLock(path)
    lock.acquire()  # drops a torn last line
    lock.release()
    try:
        return JournalStorage(JournalFileBackend(path, lock_obj=lock))  # type: ignore[arg-type]
    except ValueError as error:  # of which JSONDecodeError is one
        raise ValueError(
            f"Journal {path!r} has a line that is no JSON object before its last: line "
            f"{_first_broken_line(path)}. The trials before it are intact: cut the file there, or "
            "remove that line, and start again."
        ) from error


def _refuse_other_files(path):
    """Leave a file alone that is no journal: its lines would be dropped as torn records."""
    if not os.path.exists(path):
        return
    with open(path, "rb") as file:
        first = file.readline()
    is_torn = not first.endswith(b"\n") and (
        _FIRST_OF_A_RECORD.startswith(first[:10]) or not first.strip(b"\0")
    )
    if first and not is_torn and not first.startswith(_FIRST_OF_A_RECORD):
        raise ValueError(
            f"storage={str(path)!r} is a file that does not begin like a journal of Optuna, and "
            "is left as it is: pass a new path, or move it away."
        )


def _first_broken_line(path):
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not _is_record(line):
                return number
    return None


def _is_record(line):
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


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
            _drop_torn_line(held, self.path)
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


def _drop_torn_line(file, path):
    """Cut a file of lines behind its last line break, and behind the last line before it that is a
    record.
    """
    size = file.seek(0, os.SEEK_END)
    window = 1 << 16
    while size:
        start = max(size - window, 0)
        file.seek(start)
        tail = file.read(size - start)
        line_start = start + tail.rfind(b"\n", 0, -1) + 1
        if line_start == start and start > 0:
            window *= 4
            continue
        if tail.endswith(b"\n") and _is_record(tail[line_start - start :]):
            return
        logger.warning(
            "Journal %s: a torn last record of %d bytes is dropped.", path, size - line_start
        )
        file.truncate(line_start)
        size = line_start
