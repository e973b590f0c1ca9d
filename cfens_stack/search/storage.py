"""Where a search keeps its trials: storages by name, errors that name them."""

import errno
import os
import random
import time
import warnings
from contextlib import contextmanager
from typing import Any

from cfens_stack.search.journal import JournalError, open_journal
from cfens_stack.search.passwords import hide_password

JOURNAL_SUFFIXES = (".log", ".journal", ".jsonl")
# Of a trial on a database server; one without for four times as long counts as lost.
HEARTBEAT_SECONDS = 30
SQLITE_TIMEOUT_SECONDS = 60
CONNECT_ATTEMPTS = 5
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


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
        return open_journal(path)
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
    from sqlalchemy.exc import ArgumentError, DBAPIError

    try:
        return _connect(str(storage))
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
        isinstance(error, StorageInternalError | DBAPIError | JournalError)
        or getattr(error, "errno", None) in _NO_ROOM
    )


def _connect(url):
    """An Optuna storage; workers that start together on an empty database collide in making its
    tables, and try again.
    """
    import optuna
    from sqlalchemy.exc import DBAPIError

    settings = _settings(url)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        for attempt in range(CONNECT_ATTEMPTS - 1):
            try:
                return optuna.storages.RDBStorage(url, **settings)
            except (DBAPIError, AssertionError) as error:
                if not _is_collision(error):
                    raise
                time.sleep(random.uniform(0.05, 0.2) * 2**attempt)
        return optuna.storages.RDBStorage(url, **settings)


def _settings(url):
    from sqlalchemy import NullPool, make_url

    if not url.startswith("sqlite"):
        return {
            "engine_kwargs": {"pool_pre_ping": True},
            "heartbeat_interval": HEARTBEAT_SECONDS,
            "grace_period": 4 * HEARTBEAT_SECONDS,
        }
    engine: dict[str, Any] = {"connect_args": {"timeout": SQLITE_TIMEOUT_SECONDS}}
    if make_url(url).database not in (None, "", ":memory:"):
        engine["poolclass"] = NullPool  # a pool would hold the file open, after errors as well
    return {"engine_kwargs": engine}


def _is_collision(error):
    """Whether another worker was making the same tables: they exist already, or only half."""
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    return isinstance(error, IntegrityError | ProgrammingError | AssertionError) or any(
        words in str(error) for words in ("already exists", "no such table", "is locked")
    )
