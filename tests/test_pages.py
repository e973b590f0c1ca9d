"""The code of the README and of the site's pages runs as it stands, block after block."""

import re

import numpy as np
import pytest
from documents import ROOT, blocks, read, run
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from cfens_stack import CFEnsemble
from cfens_stack.datasets import make_predictions

PAGES = [
    "README.md",
    "docs/index.md",
    "docs/start.md",
    "docs/pipeline.md",
    "docs/guide.md",
    "docs/missing.md",
    "docs/calibration.md",
    "docs/tuning.md",
]


def test_every_page_with_code_is_run():
    """Or by tests/plugins (test_page.py, test_command_page.py), test_scale_out.py and
    test_contributing.py.
    """
    elsewhere = ["docs/command_line.md", "docs/plugins.md", "docs/scale_out.md"]
    with_code = [f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))]
    assert sorted(["README.md", *filter(blocks, with_code)]) == sorted(PAGES + elsewhere)


@pytest.fixture
def names():
    """What the pages take for given: data, predictions, base models."""
    data = make_predictions(n_samples=160, n_models=6, missing=0.1, random_state=0)
    X = data.y[:, None] + np.random.default_rng(0).standard_normal((160, 4))
    models = [("bayes", GaussianNB()), ("logistic", LogisticRegression())]
    return {
        "CFEnsemble": CFEnsemble,
        "StackingClassifier": StackingClassifier,
        "models": models,
        "X": X,
        "X_new": X[:40],
        "y": data.y,
        "R": data.R,
        "R_new": data.R[:40],
    }


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_code_of_a_page_runs(page, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for the storages it names
    if page != "README.md":
        pytest.importorskip("matplotlib")
    for code in blocks(page):
        run(page, re.sub(r"\bn_trials=50\b|(?<=CFEnsembleSearch\()200\b", "2", code), names)


NUMBER = r"-?\d*\.\d+"


def test_start_prints_what_it_shows(capsys):
    """Words as they stand, numbers to 0.05: models differ a little between versions. An ellipsis
    stands for the rest.
    """
    pytest.importorskip("matplotlib")
    names = {}
    pairs = re.findall(
        r"```python\n(.*?)```(?:\s*```text\n(.*?)```)?", read("docs/start.md"), re.DOTALL
    )
    assert len(pairs) == len(blocks("docs/start.md"))
    for code, shown in pairs:
        run("docs/start.md", code, names)
        printed = capsys.readouterr().out
        if shown.endswith("...\n"):
            shown = shown.removesuffix("...\n")
            printed = "".join(printed.splitlines(keepends=True)[: shown.count("\n")])
        assert re.sub(NUMBER, "#", printed) == re.sub(NUMBER, "#", shown)
        found, expected = (
            np.array(re.findall(NUMBER, text), dtype=float) for text in (printed, shown)
        )
        np.testing.assert_allclose(found, expected, atol=0.05)
