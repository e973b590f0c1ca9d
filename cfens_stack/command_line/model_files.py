"""Fitted ensembles in skops files, which run no code when they are read."""

from importlib import import_module
from pathlib import Path

SUFFIX = ".skops"


def check_target(path):
    """Refuse, before anything is computed, a file that could not be written.

    Raises
    ------
    ValueError
        If the name does not end in .skops.
    FileNotFoundError
        If its folder does not exist.
    ImportError
        If skops is not installed.
    """
    if Path(path).suffix.lower() != SUFFIX:
        raise ValueError(f"--model {path}: models are skops files, so call it NAME{SUFFIX}.")
    check_folder(path)
    _skops()


def check_folder(path):
    """Refuse a file in a folder that does not exist."""
    folder = Path(path).parent
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {str(folder)!r} for {str(path)!r}.")


def save_model(model, path):
    """Store a fitted model; a file that is there already is replaced only by a whole one."""
    partial = Path(f"{path}.partial")
    try:
        with open(partial, "wb") as file:
            _skops().dump(model, file)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load_model(path):
    """A model that `save_model` stored.

    Raises
    ------
    ValueError
        If the file holds types that are neither of this package nor known to skops, or is no skops
        file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no model {str(path)!r}: cfens-stack fit makes one.")
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


def _skops():
    try:
        return import_module("skops.io")
    except ImportError as error:
        raise ImportError(
            "Models are stored by skops, which is not installed: pip install 'cfens-stack[skops]'."
        ) from error
