"""Every warning points at the line of the caller's that it is about."""

import ast
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from failing_models import Misbehaving
from sklearn.naive_bayes import GaussianNB

import cfens_stack
from cfens_stack import CFEnsemble, StackingPipeline, read_predictions
from cfens_stack.datasets import make_predictions

DATA = make_predictions(400, 6, weights=[0.8, 0.2], missing=0.2, random_state=0)
FULL = make_predictions(400, 6, weights=[0.8, 0.2], random_state=0)
R, Y = DATA.R, DATA.y


def lost_column(R):
    return np.insert(R, 2, np.nan, axis=1)


def per_cent(R):
    return CFEnsemble().fit(R, Y).predict_proba(100 * R)


def stuck(R):
    return CFEnsemble().fit(R, Y).predict_proba(np.column_stack([np.full(400, 0.3), R[:, 1:]]))


def stray(R):
    R = R.copy()
    R[5, 0] = 1.5
    return R


WARNINGS = {
    "no prediction": lambda: CFEnsemble().fit(lost_column(R), Y),
    "takes all columns of R for scores": lambda: CFEnsemble().fit(stray(R), Y),
    "sample_weight has mean": lambda: CFEnsemble().fit(R, Y, sample_weight=np.full(400, 0.01)),
    "without reaching tol": lambda: CFEnsemble(max_iter=1, latent_dim=2).fit(R, Y),
    "lose digits below": lambda: CFEnsemble(dtype="float32", lambda_reg=1e-4).fit(R, Y),
    "predict the opposite": lambda: CFEnsemble().fit(1 - R, Y),
    "outside \\[0, 1\\], from": lambda: per_cent(FULL.R),
    "one value in all rows": lambda: stuck(FULL.R),
    "but layout='positive'": lambda: CFEnsemble(layout="positive").fit(2 * R, Y),
    "no groups of": lambda: CFEnsemble().fit(R, np.arange(400) % 3),
    "looks like a missing label": lambda: CFEnsemble().fit(R, np.where(Y == 1, "nan", "no")),
    "rows": lambda: StackingPipeline([GaussianNB()], cv=5, random_state=0).fit(
        FULL.R, np.arange(400) < 3
    ),
    "Base model": lambda: StackingPipeline(
        [GaussianNB(), Misbehaving("raise")], cv=2, random_state=0
    ).fit(FULL.R, Y),
    "are taken for models": lambda: read_predictions(
        pd.DataFrame({"id": np.arange(400), "a": R[:, 0], "y": Y}), label="y"
    ),
}


@pytest.mark.parametrize("text", WARNINGS)
def test_a_warning_points_at_the_callers_line(text):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        WARNINGS[text]()
    own = [w for w in caught if w.filename == __file__]
    assert own, [str(w.message) for w in caught]
    assert len(own) == len(caught), [(w.filename, w.lineno) for w in caught]
    assert any(re.search(text, str(w.message)) for w in own), [str(w.message) for w in own]


def test_all_warnings_go_one_way():
    """`warn_user` finds the caller's line; a `stacklevel` is right for one way in only."""
    for path in Path(cfens_stack.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) != "warnings.warn", f"{path.name}, {node.lineno}"
