"""Labels with missing entries, equation (9): every spelling of a label and of its absence gives the
same fit.
"""

import doctest
import linecache
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB

from cfens_stack import CFEnsemble
from cfens_stack.datasets import make_predictions
from cfens_stack.validation import encode_labels, is_missing, warn_user

CODES = [0, 1, 1, 0, -1, 1]
SPELLINGS = {
    "floats with NaN": np.array([0.0, 1.0, 1.0, 0.0, np.nan, 1.0]),
    "objects with None": np.array([0, 1, 1, 0, None, 1], dtype=object),
    "list with None": ["a", "b", "b", "a", None, "b"],
    "strings with NaN": np.array(["a", "b", "b", "a", np.nan, "b"], dtype=object),
    "booleans with None": np.array([False, True, True, False, None, True], dtype=object),
    "pandas Int64": pd.Series([0, 1, 1, 0, pd.NA, 1], dtype="Int64"),
    "pandas boolean": pd.Series([False, True, True, False, pd.NA, True], dtype="boolean"),
    "pandas string": pd.Series(["a", "b", "b", "a", pd.NA, "b"], dtype="string"),
    "pandas object": pd.Series(["a", "b", "b", "a", None, "b"], dtype=object),
    "pandas category of strings": pd.Series(["a", "b", "b", "a", None, "b"], dtype="category"),
    "pandas category of numbers": pd.Series([3, 7, 7, 3, None, 7], dtype="category"),
}


@pytest.mark.parametrize("y", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_every_spelling_of_a_missing_label(y):
    classes, codes = encode_labels(y)
    np.testing.assert_array_equal(codes, CODES)
    assert len(classes) == 2
    assert classes.dtype != object


@pytest.mark.parametrize(
    "y", [[1, 0, 2, 1], ["b", "a", "c", "b"], [True, False, True, False], [-1, 7, -1, 7]], ids=str
)
def test_complete_labels_are_numpys_unique(y):
    """-1 is a class like any other: only NaN, None and pandas.NA are missing."""
    classes, codes = encode_labels(y)
    expected, inverse = np.unique(y, return_inverse=True)
    np.testing.assert_array_equal(classes, expected)
    np.testing.assert_array_equal(codes, inverse)


def test_missing_entries_of_an_object_array():
    y = np.array(["nan", "", 0, np.nan, None, pd.NA, pd.NaT, False], dtype=object)
    np.testing.assert_array_equal(
        is_missing(y), [False, False, False, True, True, True, True, False]
    )


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "y to be passed, but the target y is None"),
        ([np.nan, np.nan], "y has no label: every entry is missing"),
        ([None, None], "y has no label: every entry is missing"),
        ([1, 1, 1], r"y has one class only \(.*1.*\)"),
        ([1, np.nan, 1], "y has one class only"),
        (["a", None, "a"], "y has one class only .*'a'"),
        ([0.1, 0.7, 0.3], "continuous"),
        ([0.1, np.nan, 0.3], "continuous"),
        ([0.0, 1.0, np.inf], "y contains infinity"),
        ([[0, 1], [1, 0]], "1d array"),
    ],
    ids=str,
)
def test_labels_that_cannot_be_used(y, message):
    with pytest.raises(ValueError, match=message):
        encode_labels(y)


@pytest.fixture(scope="module")
def data():
    return make_predictions(500, 8, weights=[0.7, 0.3], missing=0.1, random_state=0)


@pytest.mark.parametrize(
    "spell",
    [
        lambda y: y.astype(float),
        lambda y: np.array(["no", "yes"])[y],
        lambda y: np.array(["no", "yes"], dtype=object)[y],
        lambda y: pd.Series(y, dtype="Int64"),
        lambda y: pd.Series(np.array(["no", "yes"])[y], dtype="category"),
        lambda y: y.astype(bool),
    ],
    ids=["float", "str", "object", "Int64", "category", "bool"],
)
def test_the_fit_does_not_depend_on_how_complete_labels_are_spelt(data, spell):
    expected = CFEnsemble().fit(data.R, data.y)
    meta = CFEnsemble().fit(data.R, spell(data.y))
    np.testing.assert_array_equal(meta.classifier_factors_, expected.classifier_factors_)
    np.testing.assert_array_equal(meta.coef_, expected.coef_)
    np.testing.assert_array_equal(meta.predict_proba(data.R), expected.predict_proba(data.R))
    np.testing.assert_array_equal(meta.predict(data.R), meta.classes_[expected.predict(data.R)])


def test_unlabelled_rows_join_the_factorisation_only(data):
    """They move the factors, but are no class and no negatives: the prevalence is that of labelled
    rows.
    """
    y = data.y.astype(float)
    y[200:] = np.nan
    labelled_only = CFEnsemble().fit(data.R[:200], data.y[:200])
    both = CFEnsemble().fit(data.R, y)
    assert not np.allclose(both.classifier_factors_, labelled_only.classifier_factors_)
    np.testing.assert_array_equal(both.classes_, [0, 1])
    as_negatives = CFEnsemble().fit(data.R, np.where(np.isnan(y), 0.0, y))
    means = [
        meta.predict_proba(data.R)[:, 1].mean() for meta in (labelled_only, both, as_negatives)
    ]
    assert means[1] == pytest.approx(means[0], rel=0.1)
    assert means[2] < 0.7 * means[1]


def test_prevalence_and_class_weights_come_from_labelled_rows(data):
    """2 % positives among the labelled rows make the problem imbalanced, whatever the unlabelled
    ones are.
    """
    y = data.y.astype(float)
    hidden = np.flatnonzero(y == 1)[8:]
    y[hidden] = np.nan
    meta = CFEnsemble(use_class_weights=True).fit(data.R, y)
    aware = CFEnsemble(use_class_weights=True, use_label_aware_confidence=True).fit(data.R, y)
    np.testing.assert_array_equal(meta.classifier_factors_, aware.classifier_factors_)
    labelled = ~np.isnan(y)
    share = y[labelled].mean()
    assert meta.predict_proba(data.R[labelled])[:, 1].mean() == pytest.approx(share, rel=0.5)


def test_a_label_does_not_help_to_rank_its_own_row():
    """On random labels the rows trained on score near chance, even with factors steered by labels
    alone (rho=0).

    A free instance factor of a labelled row memorises its label (mistake 4: .94 on labelled rows,
    .52 on others).
    """
    rng = np.random.default_rng(0)
    R = rng.random((2000, 6))
    y = (rng.random(2000) < 0.3).astype(int)
    meta = CFEnsemble(use_label_aware_confidence=True, rho=0.0, latent_dim=6).fit(R, y)
    P = meta.predict_proba(R)[:, 1]
    assert abs(P[y == 1].mean() - P[y == 0].mean()) < 0.02


def test_several_classes_with_unlabelled_rows():
    data = make_predictions(600, 5, n_classes=3, random_state=0)
    y = np.array(["x", "y", "z"], dtype=object)[data.y]
    y[300:] = None
    meta = CFEnsemble().fit(data.R, y)
    assert meta.classes_.tolist() == ["x", "y", "z"]
    assert np.mean(meta.predict(data.R[300:]) == np.array(["x", "y", "z"])[data.y[300:]]) > 0.6


@pytest.mark.parametrize(
    "y", [["a", np.nan, "b"], ["a", None, "b"], np.array(["2020", "NaT", "2021"], dtype="M8[Y]")]
)
def test_missing_among_strings_in_a_list_and_dates_is_no_class(y):
    classes, codes = encode_labels(y)
    assert len(classes) == 2
    np.testing.assert_array_equal(codes, [0, -1, 1])


def test_strings_mixed_with_numbers_are_refused():
    with pytest.raises(TypeError, match="y mixes strings and other types"):
        encode_labels(np.array([1, "a", 1], dtype=object))


# Warnings at the caller's line


def warned_at(call):
    """The one warning of a call, and the line of the call in this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    (record,) = caught
    assert record.filename == __file__
    return record, linecache.getline(__file__, record.lineno).strip()


def from_the_package(code, **names):
    """Run code as if a module of the package held it; its names."""
    module = {"__name__": "cfens_stack.imagined", "warn_user": warn_user} | names
    exec(compile(code, "imagined.py", "exec"), module)
    return module


def test_a_warning_points_at_the_line_that_called_the_package():
    code = "def outer(): inner()\ndef inner(): warn_user('careful', FutureWarning)"
    outer = from_the_package(code)["outer"]

    def call():
        outer()  # here

    record, line = warned_at(call)
    assert line == "outer()  # here"
    assert record.category is FutureWarning
    assert str(record.message) == "careful"


def test_through_context_managers_and_the_loops_of_other_packages():
    code = """
from contextlib import contextmanager
from functools import cached_property
from joblib import Parallel, delayed

@contextmanager
def room():
    warn_user("careful")
    yield

def inside():
    with room():
        pass

class Lazy:
    @cached_property
    def value(self):
        inside()

def looped():
    Parallel(n_jobs=1)(delayed(getattr)(Lazy(), name) for name in ["value"])
"""
    looped = from_the_package(code)["looped"]
    record, line = warned_at(lambda: looped())  # looped
    assert line.endswith("# looped")
    assert record.category is UserWarning


def test_through_a_search_of_scikit_learn():
    code = """
class Careful(GaussianNB):
    def fit(self, X, y):
        warn_user("careful")
        return super().fit(X, y)
"""
    model = from_the_package(code, GaussianNB=GaussianNB)["Careful"]()
    X, y = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 2
    search = GridSearchCV(model, {}, cv=[(np.arange(10), np.arange(10, 20))], refit=False)
    _, line = warned_at(lambda: search.fit(X, y))  # the search
    assert line.endswith("# the search")


def test_once_a_line_by_default_and_an_error_on_request():
    inner = from_the_package("def inner(): warn_user('careful')")["inner"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            inner()
        inner()
    assert len(caught) == 2
    with pytest.raises(UserWarning, match="careful"):
        inner()


def test_without_any_frame_of_the_user_it_points_at_the_outermost():
    code = (
        "from cfens_stack.validation import warn_user; __name__ = 'cfens_stack'; "
        "warn_user('careful')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == "<string>:1: UserWarning: careful\n"


def test_a_doctest_of_the_package_is_a_callers_line():
    module = from_the_package("")
    test = doctest.DocTestParser().get_doctest(">>> warn_user('careful')", module, "d", None, None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        doctest.DocTestRunner().run(test)
    assert [record.filename for record in caught] == ["<doctest d[0]>"]
