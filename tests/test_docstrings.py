"""Docstrings say what the code does: every parameter, every default."""

import inspect
from importlib import import_module
from pkgutil import walk_packages

import pytest
from numpydoc.docscrape import NumpyDocString

import cfens_stack

OPTIONAL = ("plugins.tabarena",)  # modules that need their toolkit to be imported


def documented():
    """(name, object) of the functions and classes of the package, with their public methods."""
    found = {}
    for module in walk_packages(cfens_stack.__path__, "cfens_stack."):
        if module.name.endswith(OPTIONAL):
            continue
        try:
            members = vars(import_module(module.name))
        except ImportError:  # an extra that is not installed
            continue
        for name, member in members.items():
            if getattr(member, "__module__", None) != module.name or _is_error(member):
                continue
            if inspect.isfunction(member):
                found[f"{module.name}.{name}"] = member
            elif inspect.isclass(member):
                found[f"{module.name}.{name}"] = member
                methods = {
                    key: value for key, value in vars(member).items() if inspect.isfunction(value)
                }
                found |= {
                    f"{module.name}.{name}.{key}": value
                    for key, value in methods.items()
                    if key[0] != "_"
                }
    return found


def _is_error(member):
    return inspect.isclass(member) and issubclass(member, Exception | Warning | str)


def described(member):
    """Type text of each parameter in the docstring, under "Parameters" or, for a dataclass,
    "Attributes".
    """
    sections = NumpyDocString(inspect.cleandoc(member.__doc__ or ""))
    entries = sections["Parameters"] or (sections["Attributes"] if inspect.isclass(member) else [])
    return {name.strip(" *"): entry.type for entry in entries for name in entry.name.split(",")}


OBJECTS = {name: member for name, member in documented().items() if described(member)}


@pytest.mark.parametrize("name", OBJECTS)
def test_defaults_in_docstrings_are_those_of_the_code(name):
    parameters = inspect.signature(OBJECTS[name]).parameters
    for parameter, kind in described(OBJECTS[name]).items():
        if parameter not in parameters:
            assert inspect.isclass(OBJECTS[name]), f"{parameter} is documented, but no parameter"
            continue
        stated = kind.partition("default=")[2]
        default = parameters[parameter].default
        if default is inspect.Parameter.empty:
            assert not stated, f"{parameter} has no default"
        elif stated:
            assert stated.replace('"', "'") == _text(default), (
                f"{parameter} has default={default!r}, not {stated}"
            )


def _text(default):
    """A default as a docstring writes it."""
    if default is ...:
        return "..."
    if inspect.isclass(default):
        return default.__name__
    return "{}" if repr(default) == "<factory>" else repr(default)


PUBLIC = {name: getattr(cfens_stack, name) for name in cfens_stack.__all__}
PUBLIC = {
    name: member for name, member in PUBLIC.items() if callable(member) and not _is_error(member)
}
PUBLIC |= {
    f"display.{name}": getattr(cfens_stack.display, name) for name in cfens_stack.display.__all__
}
PUBLIC |= {
    f"datasets.{name}": getattr(cfens_stack.datasets, name) for name in cfens_stack.datasets.__all__
}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_parameter_of_the_public_interface_is_documented(name):
    members = [PUBLIC[name]]
    if inspect.isclass(PUBLIC[name]):
        methods = [getattr(PUBLIC[name], key) for key in dir(PUBLIC[name]) if key[0] != "_"]
        members += [
            method
            for method in methods
            if callable(method) and method.__module__.startswith("cfens_stack")
        ]
    for member in members:
        signature = inspect.signature(member)
        own = {key for key, value in signature.parameters.items() if value.kind not in (2, 4)} - {
            "self",
            "X",
            "R",
        }
        if len(own) > 1 or member is PUBLIC[name]:
            missing = own - described(member).keys()
            assert not missing, f"{member.__qualname__}: {missing}"
        for key, value in signature.parameters.items():
            kind = described(member).get(key)  # empty where it refers to another docstring
            if kind and value.default is not inspect.Parameter.empty:
                assert "default=" in kind, f"{member.__qualname__}: {key} states no default"
