"""What a notebook shows, read in a real browser, in a column as wide as a phone."""

import json
import re
import shutil
import subprocess
from html import unescape

import numpy as np
import pytest
from failing_models import Misbehaving
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import BaseModelWarning, CFEnsemble, CFEnsembleSearch, StackingPipeline, recommend
from cfens_stack.datasets import make_predictions
from cfens_stack.html import Bar

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PHONE = 390  # pixels
PAGE = f"""<!DOCTYPE html><meta charset="utf-8"><body style="margin: 0"><div style="width: {PHONE}px">%s</div><script>
const summary = document.querySelector('.cfens-summary'), box = summary.getBoundingClientRect();
const found = {{
    text: summary.innerText, height: box.height, right: box.right,
    cells: [...summary.querySelectorAll('tr')].map(row => [...row.children].map(cell => cell.innerText.trim())),
    bars: [...summary.querySelectorAll('td span')].map(bar => bar.getBoundingClientRect().width),
    diagram: document.querySelector('.sk-top-container')?.textContent,
}};
document.body.innerHTML = '<pre id="found"></pre>';
document.getElementById('found').innerText = JSON.stringify(found);
</script>"""


@pytest.fixture
def show(tmp_path):
    """A function from an object to what the browser finds in its HTML."""
    if BROWSER is None:
        pytest.skip("no Chromium or Chrome on the path: apt-get install chromium")

    def shown(thing):
        page = tmp_path / "page.html"
        page.write_text(PAGE % html_of(thing), encoding="utf-8")
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
        ]
        dom = subprocess.run(
            [BROWSER, *flags, page.as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        found = json.loads(
            unescape(re.search(r'<pre id="found">(.*?)</pre>', dom.stdout, re.DOTALL).group(1))
        )
        assert found["height"] > 50
        assert found["right"] <= PHONE
        return found

    return shown


def html_of(thing):
    if hasattr(thing, "_repr_mimebundle_"):
        html = thing._repr_mimebundle_()["text/html"]
        assert (
            html.partition("cfens-summary")[2] == thing._repr_html_().partition("cfens-summary")[2]
        )
        return html
    return thing._repr_html_()


@pytest.fixture(scope="module")
def data():
    return make_predictions(n_samples=200, n_models=4, missing=0.1, random_state=0)


def test_ensemble(show, data):
    pandas = pytest.importorskip("pandas")
    R = pandas.DataFrame(data.R, columns=["tree", "a < b & c", "net", "svm"])
    meta = CFEnsemble().fit(R, data.y)
    found = show(meta)
    assert (
        f"2 classes, 4 columns (positive), rank 4, logit link; {meta.n_iter_} steps, converged"
        in found["text"]
    )
    order = np.argsort(-meta.coef_)
    rows = [
        [R.columns[u], f"{meta.coef_[u]:.3f}", f"{meta.calibration_slopes_[u]:.2f}"] for u in order
    ]
    assert found["cells"] == [["model", "weight", "calibration slope"], *rows]
    np.testing.assert_allclose(
        np.array(found["bars"]) / found["bars"][0], meta.coef_[order] / meta.coef_.max(), atol=0.01
    )


def test_pipeline_with_a_failing_model(show):
    X = np.random.default_rng(0).normal(size=(120, 2))
    y = (X[:, 1] + np.random.default_rng(1).normal(size=120) > 0).astype(int)
    models = [
        ("bayes", GaussianNB()),
        ("bad", Misbehaving("raise", row=X[0, 0])),
        ("tree", DecisionTreeClassifier()),
    ]
    with pytest.warns(BaseModelWarning):
        stack = StackingPipeline(models, cv=4, random_state=0).fit(X, y)
    found = show(stack)
    (failure,) = stack.failures_
    reason = f"fold {failure.fold}: RuntimeError: boom"
    order = np.argsort(-stack.meta_.coef_)
    names = np.array(["bayes", "bad", "tree"])[order]
    assert [row[0] for row in found["cells"][1:]] == names.tolist()
    assert [row[1] for row in found["cells"][1:]] == [f"{w:.3f}" for w in stack.meta_.coef_[order]]
    shown = {row[0]: row[3:4] + row[5:] for row in found["cells"][1:]}
    assert shown == {
        "bayes": ["0.0%", "fitted", ""],
        "bad": ["25.0%", "fitted", reason],
        "tree": ["0.0%", "fitted", ""],
    }
    assert all(
        word in found["diagram"] for word in ("bayes", "bad", "tree", "CFEnsemble")
    )  # scikit-learn's diagram is there


def test_failures_are_grouped_by_model_and_a_lost_one_is_called_so():
    X, y = np.random.default_rng(0).normal(size=(90, 2)), np.arange(90) % 2
    models = [("bayes", GaussianNB()), ("bad", LogisticRegression(C=-1))]
    with pytest.warns(BaseModelWarning):
        html = html_of(StackingPipeline(models, cv=3).fit(X, y))
    assert html.count("InvalidParameterError") == 1
    assert "fold 0, fold 1, fold 2, final fit: InvalidParameterError" in html
    assert html.count(">lost<") == 1


def test_bars_of_negative_numbers_are_hollow():
    assert "background" in Bar(0.5, 1.0).html
    assert "background" not in Bar(-0.5, 1.0).html
    assert "width: 4.00em" in Bar(-0.5, 1.0).html


def test_pipeline_of_three_classes_and_another_meta_learner():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 2)), np.arange(90) % 3
    stack = StackingPipeline(
        [("a", GaussianNB()), ("b", LogisticRegression())], cv=3, random_state=0
    ).fit(X, y)
    largest = np.abs(stack.meta_.coef_).max(axis=0).reshape(2, 3).max(axis=1)
    assert all(f"{weight:.3f}" in html_of(stack) for weight in largest)
    stack.refit_meta(GaussianNB())
    assert "meta-learner GaussianNB" in html_of(stack)


def test_search(show, data):
    search = CFEnsembleSearch(3, cv=3, random_state=0).fit(data.R, data.y)
    found = show(search)
    assert "3 trials" in found["text"]
    assert f"{search.best_score_:.4f}" in found["text"]
    assert found["cells"][1:] == [[name, str(value)] for name, value in search.best_params_.items()]


def test_guidance(show, data):
    guidance = recommend(data.R, data.y)
    found = show(guidance)
    assert "==> YES" in found["text"]
    assert all(reason in found["text"] for reason in guidance.reasons)


def test_nothing_is_added_before_the_fit_or_to_plain_text(data):
    assert "cfens-summary" not in CFEnsemble()._repr_html_()
    assert "Misbehaving" in StackingPipeline([("one", Misbehaving("nan"))])._repr_html_()
    assert StackingPipeline([object()])._repr_html_()  # not valid, and fit says so
    meta = CFEnsemble().fit(data.R, data.y)
    with config_context(display="text"):
        assert not hasattr(meta, "_repr_html_")
        assert "text/html" not in meta._repr_mimebundle_()


def test_many_columns_are_cut():
    data = make_predictions(n_samples=100, n_models=40, random_state=0)
    html = html_of(CFEnsemble().fit(data.R, data.y))
    assert "and 10 more" in html
    assert html.count("<tr><td") == 30
