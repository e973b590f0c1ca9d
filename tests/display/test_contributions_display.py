"""Pictures of contributions and of the path of subsets, on their data and labels."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import CFEnsemble, StackingPipeline
from cfens_stack.datasets import make_predictions
from cfens_stack.display import ContributionsDisplay, SelectionPathDisplay
from cfens_stack.stacking import select_models


@pytest.fixture
def axes():
    matplotlib = pytest.importorskip("matplotlib", reason="pictures need the extra plot")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot.subplots()[1]
    pyplot.close("all")


@pytest.fixture(scope="module")
def fitted():
    data = make_predictions(300, 5, missing=0.2, random_state=0)
    R = pd.DataFrame(data.R, columns=["a", "b$", "c", "d", "e"])
    return R, CFEnsemble().fit(R, data.y)


@pytest.fixture(scope="module")
def stack():
    X, y = make_classification(200, 6, n_informative=4, random_state=0)
    models = {
        "bayes": GaussianNB(),
        "tree": DecisionTreeClassifier(max_depth=3),
        "near": KNeighborsClassifier(),
    }
    return X, StackingPipeline(models, cv=3, random_state=0).fit(X, np.array(["no", "yes"])[y])


def test_one_row_ends_at_its_log_odds(fitted, axes):
    R, meta = fitted
    row = int(np.flatnonzero(R["c"].isna())[0])
    display = ContributionsDisplay.from_estimator(meta, R).plot(axes, row=row)
    bars = axes.patches
    assert len(bars) == 5
    for bar, after in pairwise(bars):  # each begins where the one before ends
        ends = (bar.get_x(), bar.get_x() + bar.get_width())
        assert any(np.isclose(after.get_x(), ends)) or any(
            np.isclose(after.get_x() + after.get_width(), ends)
        )
    p = meta.predict_proba(R)[row, 1]
    assert f"probability {p:.3f}" in axes.get_title()
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert "c (missing)" in labels
    sizes = np.abs([bar.get_width() for bar in bars])
    assert (np.diff(sizes) <= 1e-12).all()
    assert display.label == "1"


def test_many_rows_and_the_others_together(fitted, axes):
    R, meta = fitted
    display = ContributionsDisplay.from_estimator(meta, R).plot(axes, max_models=3)
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels[-1] == "2 others"
    assert sum("missing)" in label for label in labels) == 3
    parts, names = display._ordered(display.contributions, 3)
    np.testing.assert_allclose(parts.sum(axis=1), display.contributions.sum(axis=1))
    assert set(names[:3]) <= set(R.columns)


def test_of_a_pipeline_and_of_several_classes(stack, axes):
    X, model = stack
    display = ContributionsDisplay.from_estimator(model, X)
    assert display.names == ["bayes", "tree", "near"]
    assert display.label == "yes"
    np.testing.assert_array_equal(display.contributions, model.contributions(X))
    served = ContributionsDisplay.from_estimator(model.for_serving(), X)
    np.testing.assert_array_equal(served.contributions, display.contributions)
    data = make_predictions(200, 4, n_classes=3, missing=0.1, random_state=0)
    meta = CFEnsemble().fit(data.R, np.array(["ant", "bee", "cat"])[data.y])
    with pytest.raises(ValueError, match=r"label=None: pass one of the classes, .*'ant'"):
        ContributionsDisplay.from_estimator(meta, data.R)
    shown = ContributionsDisplay.from_estimator(meta, data.R, label="cat", names=list("abcd"))
    np.testing.assert_array_equal(shown.contributions, meta.contributions(data.R)[:, :, 2])
    shown.plot(axes, row=0)
    assert "probability" not in axes.get_title()
    with pytest.raises(ValueError, match="names has 2 entries, but there are 4 models"):
        ContributionsDisplay.from_estimator(meta, data.R, label="cat", names=["a", "b"])


def test_the_path_of_subsets(stack, axes):
    _, model = stack
    with pytest.raises(ValueError, match=r"No models of this pipeline were chosen: call select"):
        SelectionPathDisplay.from_estimator(model)
    data = make_predictions(200, 4, random_state=0)
    path = select_models(data.R, data.y, costs=[3, 1, 2, 5])
    display = SelectionPathDisplay.from_path(path, names=list("abcd"), chosen=path[1])
    assert [len(models) for models in display.leaving] == [0, 1, 1, 1]
    assert len({name for models in display.leaving for name in models}) == 3
    display.plot(axes)
    assert axes.get_xlabel().startswith("cost")
    assert "in use: 3 models" in [text.get_text() for text in axes.get_legend().get_texts()]
    with pytest.raises(ValueError, match="path is empty"):
        SelectionPathDisplay.from_path([])


def test_the_path_of_a_pipeline_marks_what_is_kept(axes):
    X, y = make_classification(200, 6, n_informative=4, random_state=0)
    models = {"bayes": GaussianNB(), "tree": DecisionTreeClassifier(max_depth=3)}
    model = StackingPipeline(models, cv=3, max_models=1, random_state=0).fit(X, y)
    display = SelectionPathDisplay.from_estimator(model).plot(axes)
    assert display.sizes[display.chosen] == 1
    assert display.leaving[1][0] not in model.model_names_
    assert axes.get_xlabel() == "base models"
