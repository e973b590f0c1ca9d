"""Fitted ensembles in files: skops, which runs no code when it is read, or joblib, a pickle."""

from importlib import import_module
from pathlib import Path

import joblib

SUFFIXES = (".skops", ".joblib")


def check_target(path):
    """Refuse, before anything is computed, a file that could not be written.

    Raises
    ------
    ValueError
        If the name ends in something else than .skops and .joblib.
    FileNotFoundError
        If its folder does not exist.
    ImportError
        If it needs skops, which is not installed.
    """
    if _suffix(path) == ".skops":
        _skops()
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(Path(path).parent)!r} for {path!r}.")


def save_model(model, path):
    """Store a fitted model; a file that is there already is replaced only by a whole one."""
    partial = Path(f"{path}.partial")
    try:
        if _suffix(path) == ".skops":
            with open(partial, "wb") as file:
                _skops().dump(model, file)
        else:
            joblib.dump(model, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load_model(path):
    """A model that `save_model` stored.

    Raises
    ------
    ValueError
        If a skops file holds types that are neither of this package nor known to skops, or the file
        is none of its kind.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no model {str(path)!r}: cfens-stack fit makes one.")
    if _suffix(path) == ".joblib":
        return joblib.load(path)
    skops = _skops()
    try:
        names = skops.get_untrusted_types(file=path)
    except Exception as error:  # whatever zipfile and json say of a file that is something else
        raise ValueError(f"{path} is no skops file: {error}") from error
    foreign = [name for name in names if not name.startswith("cfens_stack.")]
    if foreign:
        raise ValueError(
            f"{path} holds types that are not of this package: {', '.join(foreign)}. Load it with "
            "skops.io.load if you trust them."
        )
    return skops.load(path, trusted=names)


def _suffix(path):
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"--model {path}: valid endings are {' and '.join(SUFFIXES)}.")
    return suffix


def _skops():
    try:
        return import_module("skops.io")
    except ImportError as error:
        raise ImportError(
            "Models in .skops files need skops: pip install 'cfens-stack[skops]'; or name the "
            "model .joblib, a pickle, which can run code when it is read."
        ) from error
