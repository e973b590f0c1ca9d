"""What the cache of fits sees of the code of models, and what it does not."""

import functools
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from failing_models import Counting
from sklearn.ensemble import RandomForestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from cfens_stack import StackingPipeline
from cfens_stack.stacking.cache import code_key

MODEL = """
from functools import cached_property
import numpy as np
from sklearn.naive_bayes import GaussianNB
from sklearn.utils.metaestimators import available_if
import helping

SHARE = 0.5
KNOWN = {"a", "b", "c"}

def towards_half(P):
    return SHARE * P + (1 - SHARE) / 2

class Base(GaussianNB):
    factor = 1.0

    @staticmethod
    def fixed(P):
        return P

    @property
    def name(self):
        return "a" in KNOWN

    @cached_property
    def late(self):
        return 1

    @available_if(lambda self: True)
    def optional(self):
        return 2

class Extra:
    pass

class Model(Base):
    def predict_proba(self, X):
        return self.fixed(towards_half(helping.same(super().predict_proba(X))))
"""
HELP = "def same(P):\n    return P\n\ndef other(P):\n    return 1 - P\n"


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """A function that writes a model and a helper into a folder and imports them anew."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def written(model=MODEL, helping=HELP):
        Path(tmp_path, "models.py").write_text(model)
        Path(tmp_path, "helping.py").write_text(helping)
        importlib.invalidate_caches()
        for name in ("helping", "models"):
            sys.modules.pop(name, None)
        return importlib.import_module("models")

    yield written
    for name in ("helping", "models"):
        sys.modules.pop(name, None)


def data():
    y = np.arange(60) % 2
    return np.random.default_rng(0).normal(size=(60, 3)) + y[:, None], y


@pytest.mark.filterwarnings("ignore:.* predict the opposite of their class:UserWarning")
def test_a_changed_model_is_fitted_again(modules, tmp_path):
    X, y = data()

    def oof(**changed):
        model = modules(**changed).Model()
        return StackingPipeline([model], cv=3, memory=tmp_path / "cache").fit(X, y).oof_

    first = oof()
    np.testing.assert_array_equal(oof(), first)
    plain = oof(model=MODEL.replace("SHARE * P + (1 - SHARE) / 2", "P"))
    np.testing.assert_allclose(plain, 2 * first - 0.5)
    mirrored = oof(helping=HELP.replace("return P", "return P[:, ::-1]"))
    np.testing.assert_allclose(mirrored, 1 - first)


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ("SHARE = 0.5", "SHARE = 0.6", True),
        ('"c"}', '"d"}', True),
        ("factor = 1.0", "factor = 2.0", True),
        ("        return P", "        return P / 1", True),
        ('return "a" in', 'return "b" in', True),
        ("return 1", "return 3", True),
        ("return 2", "return 3", True),
        ("Model(Base)", "Model(Base, Extra)", True),
        ("import numpy as np", "import numpy as np  # a comment", False),
        ("return 1\n", "return 1\n\n\n", False),
    ],
)
def test_the_key_holds_what_the_model_uses_and_no_more(modules, before, after, changes):
    key = code_key(modules().Model())
    assert before in MODEL
    assert (code_key(modules(MODEL.replace(before, after)).Model()) != key) == changes


def test_functions_that_are_not_used_do_not_count(modules):
    key = code_key(modules().Model())
    assert code_key(modules(helping=HELP.replace("1 - P", "2 - P")).Model()) == key
    assert code_key(modules(helping=HELP.replace("return P", "return +P")).Model()) != key


def test_functions_among_the_parameters():
    def pipeline(function):
        return make_pipeline(FunctionTransformer(function), GaussianNB())

    keys = {
        code_key(pipeline(function))
        for function in (
            np.log,
            lambda X: X + 1,
            lambda X: X + 2,
            functools.partial(np.add, 1),
            functools.lru_cache(lambda X: X + 3),
        )
    }
    assert len(keys) == 5


def test_models_of_installed_packages_count_by_version(monkeypatch):
    key = code_key(RandomForestClassifier())
    assert code_key(RandomForestClassifier(n_estimators=3)) == key  # parameters are in the cache's
    monkeypatch.setattr("sklearn.__version__", "0.1")
    assert code_key(RandomForestClassifier()) != key


def test_the_key_is_the_same_in_another_process():
    program = (
        "from cfens_stack.stacking.cache import code_key; from failing_models import Counting;"
        "print(code_key(Counting('log')))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONHASHSEED": "7"},
        cwd=Path(__file__).parents[2],
    )
    assert run.stdout.strip() == code_key(Counting("log"))
