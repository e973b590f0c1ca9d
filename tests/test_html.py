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
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import BaseModelWarning, CFEnsemble, CFEnsembleSearch, StackingPipeline, recommend
from cfens_stack.datasets import make_predictions
from cfens_stack.html import Bar, plural
from cfens_stack.stacking.summary import grouped, log_losses

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PHONE = 390  # pixels
PAGE = f"""<!DOCTYPE html><meta charset="utf-8"><body style="margin: 0"><div style="width: {PHONE}px">%s</div><script>
const summary = document.querySelector('.cfens-summary'), box = summary.getBoundingClientRect();
const found = {{
    text: summary.innerText, height: box.height, right: box.right,
    cells: [...summary.querySelectorAll('tr')].filter(row => !row.closest('.sk-top-container'))
        .map(row => [...row.children].map(cell => cell.innerText.trim())),
    bars: [...summary.querySelectorAll('td i')].map(bar => bar.getBoundingClientRect().width),
    diagram: document.querySelector('.sk-top-container')?.textContent,
    shown: document.querySelector('.sk-top-container')?.checkVisibility(),
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
    if not hasattr(thing, "_repr_mimebundle_"):
        return thing._repr_html_()
    html = thing._repr_mimebundle_()["text/html"]
    diagram = "<summary>diagram and parameters"  # its ids are counted up
    assert html.partition(diagram)[0] == thing._repr_html_().partition(diagram)[0]
    return html


@pytest.fixture(scope="module")
def data():
    return make_predictions(n_samples=200, n_models=4, missing=0.1, random_state=0)


def test_ensemble(show, data):
    pandas = pytest.importorskip("pandas")
    R = pandas.DataFrame(data.R, columns=["tree", "a < b & c", "net", "svm"])
    meta = CFEnsemble().fit(R, data.y)
    found = show(meta)
    assert (
        f"2 classes, 4 columns (positive), rank 4, logit link; {plural(meta.n_iter_, 'step')}, "
        "converged" in found["text"]
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
    models, failures = found["cells"][1:4], found["cells"][5:]
    losses = {
        name: log_loss(y[known], p[known])
        for name, p in zip(stack.model_names_, stack.oof_.T, strict=True)
        if np.any(known := np.isfinite(p))
    }
    names = sorted(losses, key=losses.get)
    weights = dict(zip(stack.model_names_, stack.meta_.coef_, strict=True))
    missing = {"bayes": "0.0%", "bad": "25.0%", "tree": "0.0%"}
    assert [[row[0], row[1], row[2], row[4]] for row in models] == [
        [name, f"{losses[name]:.4f}", f"{weights[name]:.3f}", missing[name]] for name in names
    ]
    assert failures == [["bad", f"fold {failure.fold}", "RuntimeError: boom"]]
    # scikit-learn's diagram is there, and folded
    assert all(word in found["diagram"] for word in ("bayes", "bad", "tree", "CFEnsemble"))
    assert not found["shown"]


def test_failures_are_grouped_by_model_and_a_lost_one_is_called_so():
    X, y = np.random.default_rng(0).normal(size=(90, 2)), np.arange(90) % 2
    models = [("bayes", GaussianNB()), ("bad", LogisticRegression(C=-1))]
    with pytest.warns(BaseModelWarning):
        html = html_of(StackingPipeline(models, cv=3).fit(X, y))
    assert html.count("InvalidParameterError") == 1
    assert "4 failures of 1 model" in html
    assert ">fold 0, fold 1, fold 2, final fit<" in html
    assert html.count(">lost<") == 1


def test_reasons_that_differ_in_numbers_are_one_row_and_cut():
    """A model that names the rows it failed on has another message in each fold."""
    records = [
        ("radius", fold, "ValueError", f"no neighbours: {fold} {'9 ' * 200}") for fold in (0, 1)
    ]
    html = grouped("failure", records, "failures_", unfolded=True)
    assert html.count("no neighbours") == 1
    assert "2 failures of 1 model" in html
    assert len(html) < 1000
    assert grouped("failure", [], "failures_", unfolded=True) == ""


def test_log_losses_are_those_of_scikit_learn_over_the_rows_that_have_both():
    rng = np.random.default_rng(0)
    y, weight = np.arange(40) % 3, rng.uniform(0.5, 2, 40)
    R = rng.dirichlet(np.ones(3), (40, 2)).reshape(40, 6)
    R[:5, 3:] = np.nan
    y[30:] = -1
    for given in (None, weight):
        first, second = log_losses(R, y, 3, given)
        part = None if given is None else given[:30]
        assert first == pytest.approx(log_loss(y[:30], R[:30, :3], sample_weight=part))
        part = None if given is None else given[5:30]
        assert second == pytest.approx(log_loss(y[5:30], R[5:30, 3:], sample_weight=part))
    R[:, 3:] = np.nan
    assert np.isnan(log_losses(R, y, 3)[1])


def test_a_copy_for_serving_has_no_scores():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 2)), np.arange(90) % 2
    html = html_of(StackingPipeline([("bayes", GaussianNB())], cv=3).fit(X, y).for_serving())
    assert "for serving, 1 base model, meta-learner CFEnsemble" in html


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
