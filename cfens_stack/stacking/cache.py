"""The cache of fits: joblib's, without what it could not store whole, and aware of the code of the
models.
"""

import hashlib
import inspect
import sys
import sysconfig
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType

import numpy as np

MOST_PARTS = 100  # of a list among the parameters: steps and models, not data
STANDARD_LIBRARY = Path(sysconfig.get_paths()["stdlib"])


def cached(function, memory, ignore):
    """A function behind a joblib.Memory. Looking up nothing lets joblib note its source before
    several workers do.
    """
    behind = memory.cache(function, ignore=ignore)
    if hasattr(behind, "check_call_in_cache"):
        behind.check_call_in_cache(**dict.fromkeys(inspect.signature(function).parameters))
    return behind


def remove_unfinished(behind):
    """Remove what the cached function began to store and could not end, on a full disk; joblib
    leaves it there, and the disk full.
    """
    store = getattr(behind, "store_backend", None)
    if store is None:
        return
    for item in store.get_items():
        folder = Path(item.path)
        call = (behind.func_id, folder.name)
        if folder == Path(store.location, *call) and not store.contains_item(call):
            store.clear_item(call)


def code_key(estimator):
    """Text that changes with the code of an estimator and of its parts, for the key of the cache.

    Of classes and functions that are installed: the version of their package. Of others the
    bytecode, with that of the functions and classes and the plain constants that it names. What
    compiled extensions outside of installed packages do, what is looked up by name at run time,
    and files that the code reads are not seen.

    Parameters
    ----------
    estimator : estimator

    Returns
    -------
    key : str
    """
    pending = [estimator, *estimator.get_params(deep=True).values()]
    seen, texts = set(), []
    while pending:
        thing = pending.pop()
        if isinstance(thing, ModuleType | np.ndarray) or id(thing) in seen:
            continue
        text, inside = _read(thing)
        if isinstance(thing, type | FunctionType):
            seen.add(id(thing))  # these live on, so that the number stays theirs
        texts.append(text)
        pending += inside
    return hashlib.sha256("\n".join(sorted(set(texts))).encode()).hexdigest()


def _read(thing):
    """Text of a thing and what else it consists of."""
    if isinstance(thing, type | FunctionType):
        name = f"{thing.__module__}.{thing.__qualname__}"
        if _is_installed(thing.__module__):
            return f"{name} {_version(thing.__module__)}", []
        return _read_class(name, thing) if isinstance(thing, type) else _read_function(name, thing)
    if isinstance(thing, list | tuple):
        return "", list(thing[:MOST_PARTS])
    if isinstance(thing, dict):
        return "", list(thing.values())
    if isinstance(thing, partial):
        return "", [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, MethodType):
        return "", [thing.__func__, type(thing.__self__)]
    for inner in ("__wrapped__", "py_func"):  # behind decorators, and behind numba's
        if hasattr(thing, inner):
            return "", [getattr(thing, inner)]
    return "", [type(thing)]


def _read_class(name, thing):
    texts, inside = [name], [*thing.__bases__]
    for key, value in vars(thing).items():
        if isinstance(value, property):
            inside += filter(None, (value.fget, value.fset))
        elif isinstance(value, staticmethod | classmethod):
            inside.append(value.__func__)
        elif isinstance(value, cached_property):
            inside.append(value.func)
        elif isinstance(value, FunctionType | type) or hasattr(value, "__wrapped__"):
            inside.append(value)
        elif not key.startswith("__") and (constant := _constant(value)) is not None:
            texts.append(f"{key}={constant}")  # Python adds some with __, as when it pickles
    return "\n".join(texts), inside


def _read_function(name, thing):
    codes = list(_codes(thing.__code__))
    used = {used for code in codes for used in code.co_names}
    values = dict(_used_globals(thing.__globals__, used))
    for module in [value for value in values.values() if isinstance(value, ModuleType)]:
        if not _is_installed(module.__name__):
            found = _used_globals(vars(module), used)
            values |= {f"{module.__name__}.{key}": value for key, value in found}
    values |= {f"default {i}": value for i, value in enumerate(thing.__defaults__ or ())}
    values |= thing.__kwdefaults__ or {}
    values |= {f"closure {i}": value for i, value in enumerate(_closure(thing))}
    constants = {key: _constant(value) for key, value in values.items()}
    texts = [name, *map(_code_text, codes)]
    texts += [f"{key}={text}" for key, text in constants.items() if text is not None]
    inside = [value for key, value in values.items() if constants[key] is None and callable(value)]
    return "\n".join(texts), [*inside, *filter(None, [getattr(thing, "__wrapped__", None)])]


def _used_globals(names, used):
    return [(key, names[key]) for key in sorted(used) if key in names]


def _closure(function):
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # still empty
            yield cell.cell_contents


def _codes(code):
    """A code object and those of the functions, classes and lambdas inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _code_text(code):
    constants = [_constant(value) for value in code.co_consts if not isinstance(value, CodeType)]
    return repr((code.co_code, code.co_names, code.co_varnames, code.co_freevars, constants))


def _constant(value):
    """A plain value as text that is the same in every process; None for any other."""
    if value is None or value is ...:
        return repr(value)
    if isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if isinstance(value, dict):
        value = tuple(value.items())
    if not isinstance(value, tuple | list | set | frozenset):
        return None
    parts = [_constant(part) for part in value]
    if None in parts:
        return None
    if isinstance(value, set | frozenset):
        parts.sort()
    return f"{type(value).__name__}({', '.join(parts)})"


def _is_installed(module):
    """Whether a module is the standard library's or lies where packages are installed."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return module in sys.builtin_module_names
    folders = Path(file).parents
    named = {folder.name for folder in folders}
    return bool({"site-packages", "dist-packages"} & named) or STANDARD_LIBRARY in folders


def _version(module):
    top = sys.modules.get(module.partition(".")[0])
    return getattr(top, "__version__", "")
