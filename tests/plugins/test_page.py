"""The code of docs/plugins.md, with the real toolkits, block after block of a section."""

import importlib
import json
import re
import warnings
from wsgiref.util import setup_testing_defaults

import numpy as np
import pandas as pd
import pytest
from documents import blocks_in, read, run
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from test_tabarena import halves, write_task

from cfens_stack import CFEnsemble, CFEnsembleSearch, StackingPipeline
from cfens_stack.datasets import make_predictions

PAGE = "docs/plugins.md"
SECTIONS = {
    title: text for title, text in re.findall(r"## (.*?)\n(.*?)(?=\n## |\Z)", read(PAGE), re.DOTALL)
}
NEEDED = {
    "AutoGluon": "autogluon.tabular",
    "LightAutoML": "lightautoml.automl.presets.tabular_presets",
    "ONNX": "skl2onnx",
    "skops": "skops",
    "skrub": "skrub",
    "skore": "skore",
    "optuna-dashboard": "optuna_dashboard",
}
SEQUENTIAL = "ag_args_ensemble={'fold_fitting_strategy': 'sequential_local'}"
SMALLER = {
    "num_bag_folds=5": f"num_bag_folds=2, dynamic_stacking=False, num_cpus=1, num_gpus=0, {SEQUENTIAL}",
    ".fit(train, num": ".fit(train, hyperparameters={'LR': {}, 'XT': {}}, num",
    "level=1))": f"level=1), num_cpus=1, num_gpus=0, {SEQUENTIAL})",
    'study_name="demo"': 'study_name="demo", n_trials=2',
    "splitter=5": "splitter=2",
}

pytestmark = pytest.mark.filterwarnings("ignore")  # what the toolkits warn of is not ours to mend


def code_of(title):
    code = "".join(blocks_in(SECTIONS[title]))
    for text, smaller in SMALLER.items():
        code = code.replace(text, smaller)
    return code


@pytest.fixture
def names(tmp_path, monkeypatch):
    """What the page takes for given."""
    monkeypatch.chdir(tmp_path)
    X, y = make_classification(240, 4, n_informative=3, n_redundant=0, random_state=0)
    frame = pd.DataFrame(X, columns=list("abcd")).assign(city=np.where(X[:, 0] > 0, "Oslo", "Rome"))
    train = frame.assign(label=np.array(["ant", "bee"])[y])
    predictions = make_predictions(240, 5, missing=0.1, random_state=0)
    models = [("logistic", LogisticRegression()), ("bayes", GaussianNB())]
    return {
        "CFEnsemble": CFEnsemble,
        "CFEnsembleSearch": CFEnsembleSearch,
        "HistGradientBoostingClassifier": HistGradientBoostingClassifier,
        "LogisticRegression": LogisticRegression,
        "StackingPipeline": StackingPipeline,
        "make_pipeline": make_pipeline,
        "StackingClassifier": StackingClassifier,
        "models": models,
        "model": CFEnsemble().fit(predictions.R, predictions.y),
        "R": predictions.R,
        "X": X,
        "y": y,
        "X_test": X[:80],
        "y_test": y[:80],
        "frame": frame,
        "train": train[:160],
        "new": train[160:],
        "test": train[160:],
    }


def test_every_section_with_code_is_run():
    with_code = [title for title in SECTIONS if "```python" in SECTIONS[title]]
    assert sorted(with_code) == sorted([*NEEDED, "TabArena and TabRepo"])


@pytest.mark.parametrize("title", NEEDED)
def test_the_code_of_a_section_runs(title, names):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(NEEDED[title], reason=f"{NEEDED[title]} is not installed")
    run(PAGE, code_of(title), names)
    if title == "AutoGluon":
        assert names["P"].shape == (80, 2)
        assert names["small"].predict_proba(names["new"]).shape == (80, 2)
        assert "CFEnsemble_BAG_L2" in names["predictor"].model_names()
    if title == "optuna-dashboard":
        app = importlib.import_module("optuna_dashboard").wsgi("sqlite:///trials.db")
        environ = {"PATH_INFO": "/api/studies"}
        setup_testing_defaults(environ)
        answer = b"".join(app(environ, lambda *response: None))
        assert [study["study_name"] for study in json.loads(answer)["study_summaries"]] == ["demo"]


def test_the_files_of_tabrepo_are_read(names, tmp_path):
    """The second block of its section; the first is in test_tabarena.py."""
    val, test = halves(3)
    write_task(
        tmp_path / "model_predictions" / "adult" / "0", {"val": val, "test": test}, ["one", "other"]
    )
    blocks = blocks_in(SECTIONS["TabArena and TabRepo"])
    run(PAGE, blocks[1], names)
    assert names["P"].shape == (200, 3)
