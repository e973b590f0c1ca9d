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
from cfens_stack.validation import (
    check_groups,
    check_weights,
    class_codes,
    encode_labels,
    filled,
    is_missing,
    warn_user,
)

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
    "masked array": np.ma.masked_array([0, 1, 1, 0, 1, 1], mask=[0, 0, 0, 0, 1, 0]),
    "masked array of strings": np.ma.masked_array(list("abbaab"), mask=[0, 0, 0, 0, 1, 0]),
    "frame of one column": pd.DataFrame({"y": pd.array([0, 1, 1, 0, None, 1], dtype="Int64")}),
}


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
@pytest.mark.parametrize("y", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_every_spelling_of_a_missing_label(y):
    classes, codes = encode_labels(y)
    np.testing.assert_array_equal(codes, CODES)
    assert len(classes) == 2
    assert classes.dtype != object


@pytest.mark.parametrize(
    ("labels", "dtype"),
    [
        ([False, True], "boolean"),
        ([3, 7], "Int64"),
        ([3, 7], "category"),
        ([False, True], "category"),
        (["a", "b"], "string"),
        (["a", "b"], "category"),
    ],
)
@pytest.mark.parametrize("missing", [True, False])
def test_pandas_labels_stay_what_they_are(labels, dtype, missing):
    """Booleans once became 0.0 and 1.0, and integers floats."""
    y = pd.Series([labels[1], labels[0], None if missing else labels[0], labels[1]], dtype=dtype)
    classes, _ = encode_labels(y)
    assert classes.tolist() == labels
    assert {type(label) for label in classes.tolist()} == {type(labels[0])}


def test_labels_of_polars_stay_what_they_are():
    polars = pytest.importorskip("polars")
    for labels in ([False, True], [3, 7], ["a", "b"]):
        classes, codes = encode_labels(polars.Series([*labels, None]))
        assert classes.tolist() == labels
        assert {type(label) for label in classes.tolist()} == {type(labels[0])}
        assert codes.tolist() == [0, 1, -1]


def test_codes_of_known_classes():
    classes = np.array(["a", "b", "c"])
    np.testing.assert_array_equal(class_codes(["c", None, "a", "c"], classes), [2, -1, 0, 2])
    np.testing.assert_array_equal(class_codes(["c", "c"], classes), [2, 2])  # of one class only
    with pytest.raises(ValueError, match=r"y has the label 'd', which is not among .*'a', 'b'"):
        class_codes(["a", "d"], classes)
    with pytest.raises(ValueError, match=r"y has the label 0, which is not among"):
        class_codes([0, 1], classes)


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA])
def test_missing_labels_that_became_text_bring_a_warning(missing):
    """np.array(["a", nan]) makes the string "nan", which would be a class like any other."""
    with pytest.warns(UserWarning, match="became text"):
        classes, _ = encode_labels(np.array(["a", "b", str(missing)]))
    assert len(classes) == 3
    assert len(encode_labels(np.array(["a", "b", missing], dtype=object))[0]) == 2


def test_masked_cells_are_missing():
    R = np.ma.masked_array([[0.2, 0.4], [0.6, 0.8]], mask=[[0, 1], [0, 0]])
    np.testing.assert_array_equal(filled(R), [[0.2, np.nan], [0.6, 0.8]])
    np.testing.assert_array_equal(filled(np.ma.masked_array([1, 2], mask=[1, 0])), [np.nan, 2])
    assert type(filled(R)) is np.ndarray
    assert R.data[0, 1] == 0.4
    plain = np.ones((2, 2))
    assert filled(plain) is plain


def test_masked_weights_and_groups_are_refused():
    y, classes = np.array([0, 1, 0, 1]), np.array([0, 1])
    masked = np.ma.masked_array([1.0, 2.0, 1.0, 1.0], mask=[0, 1, 0, 0])
    with pytest.raises(ValueError, match="sample_weight contains NaN"):
        check_weights(masked, y, y, classes)
    with pytest.raises(ValueError, match="groups has masked entries"):
        check_groups(masked, y)


@pytest.mark.parametrize(
    "groups", [["a", "b", "a"], pd.Series(["a", "b", "a"], dtype="string"), [1, 2, 1]], ids=str
)
def test_groups_become_arrays_that_can_be_sorted(groups):
    checked = check_groups(groups, np.zeros(3))
    assert checked.dtype != object
    np.testing.assert_array_equal(checked, list(groups))
    with pytest.raises(ValueError, match="groups has missing entries"):
        check_groups(pd.Series([None, *groups[1:]], dtype=object), np.zeros(3))


def test_weights_and_groups_are_copies():
    """`refit_meta` uses them again, whatever the caller has made of the arrays since."""
    y, weights = np.array([0, 1, 0, 1]), np.ones(4)
    kept, groups = check_weights(weights, y, y, np.array([0, 1])), check_groups(weights, y)
    weights[:] = 7.0
    assert kept.tolist() == groups.tolist() == [1.0] * 4


@pytest.mark.parametrize(("size", "middle"), [(1e-90, 1e-20), (1e90, 1e20)])
def test_the_size_of_weights_reaches_no_limit_of_floats(size, middle):
    """Far from 1 either the labels or the penalty count alone, and results differ no more."""
    data = make_predictions(200, 4, missing=0.1, random_state=0)
    P = [
        CFEnsemble(aggregator_reg=1.0).fit(data.R, data.y, np.full(200, s)).predict_proba(data.R)
        for s in (size, middle)
    ]
    np.testing.assert_allclose(*P, rtol=1e-6)
    assert np.ptp(P[0][:, 1]) > 0.05  # beyond the range it was one number for all rows


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
