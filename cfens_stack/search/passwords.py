"""What may be shown of the name of a database: user, host, port and database, but no secret."""

import re

_SCHEME = re.compile(r"[\w+.:-]*://")
_PASSWORD = re.compile(r":.*@", re.DOTALL)  # up to the last @: passwords hold : / ? and @ too
_PARAMETERS = re.compile(r"([?;]).+", re.DOTALL)
_VALUE = re.compile(  # quoted, in braces, or up to ; or the next key
    r"(\w+)(\s*=\s*)"
    r"('(?:\\.|[^'\\])*'?|\{(?:\}\}|[^}])*\}?|[^;]*?(?=\s+\w+\s*=|;|$))",
    re.DOTALL,
)
_HARMLESS = {"host", "hostaddr", "server", "port", "user", "username", "uid", "dbname", "database"}
_SECRET = re.compile("pass|pwd|secret|token|key", re.IGNORECASE)


class StorageURL(str):
    """A name of a database whose secrets do not show in its repr."""

    def __repr__(self):
        return repr(without_secrets(str(self)))


def hide_password(storage):
    """The same storage; a name that may hold secrets as a str that does not show them."""
    if type(storage) is str and without_secrets(storage) != storage:
        return StorageURL(storage)
    return storage


def without_secrets(name):
    """The name of a storage with *** for what is not scheme, user, host, port, database or path.

    Parameters
    ----------
    name : str
        A URL, with or without its scheme; the connection string of a driver, such as
        "host=... password=..."; the path of a journal.
    """
    scheme = _SCHEME.match(name)
    start = scheme.end() if scheme else 0
    rest = _PASSWORD.sub(":***@", name[start:])
    if not scheme and any(found[1].lower() in _HARMLESS for found in _VALUE.finditer(rest)):
        return _VALUE.sub(_masked_unless_harmless, rest)  # the connection string of a driver
    rest = _PARAMETERS.sub(r"\1***", rest)
    return name[:start] + _VALUE.sub(_masked_if_secret, rest)


def _masked_unless_harmless(found):
    return found[0] if found[1].lower() in _HARMLESS else f"{found[1]}{found[2]}***"


def _masked_if_secret(found):
    return f"{found[1]}{found[2]}***" if _SECRET.search(found[1]) else found[0]
