"""Folds from any splitter, and what is wrong with some."""

import numpy as np
import pytest
from sklearn.model_selection import KFold, LeaveOneGroupOut, StratifiedKFold

from cfens_stack.splits import make_splits

CLASSES = np.array(["common", "rare"])


def splits_of(cv, y, groups=None, **settings):
    metadata = {} if groups is None else {"groups": np.asarray(groups)}
    return make_splits(
        cv, np.zeros((len(y), 1)), np.asarray(y), metadata, classes=CLASSES, seed=0, **settings
    )


@pytest.mark.parametrize("cv", [None, 5, np.int64(5)])
def test_an_int_makes_shuffled_stratified_folds(cv):
    y = np.repeat([0, 1], [40, 10])
    splits = splits_of(cv, y)
    assert len(splits) == 5
    for train, test in splits:
        assert np.bincount(y[test]).tolist() == [8, 2]
        assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(50))
        assert np.ptp(test[y[test] == 0]) > 8  # not a run of neighbours


def test_an_int_keeps_groups_together():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 12, 100)
    for train, test in splits_of(4, rng.permutation(np.repeat([0, 1], 50)), groups):
        assert not set(groups[train]) & set(groups[test])


def test_rows_without_a_label_are_in_no_fold():
    y = np.array([0, 1, -1] * 10)
    groups = np.arange(30) // 6
    given = [(np.arange(15), np.arange(15, 30)), (np.arange(15, 30), np.arange(15))]
    for cv in (3, KFold(3), LeaveOneGroupOut(), given):
        splits = splits_of(cv, y, groups if isinstance(cv, LeaveOneGroupOut) else None)
        assert set(np.concatenate([np.concatenate(split) for split in splits])) == set(
            np.flatnonzero(y >= 0)
        )
    train, test = splits[0]
    assert train.tolist() == [
        row for row in range(15) if row % 3 != 2
    ]  # an iterable names rows of X
    for train, test in splits_of(LeaveOneGroupOut(), y, groups):
        assert len(set(groups[test])) == 1
        assert groups[test][0] not in groups[train]


@pytest.mark.parametrize(
    ("cv", "groups", "message"),
    [
        (4, None, "Class 'rare' has 3 rows, too few for cv=4 folds"),
        (3, [0] * 10 + [1] * 5, "groups has 2 different values, too few for cv=3"),
        ([([0, 1], [1, 2])], None, "fold 0 has 1 rows on both sides, the first of them 1"),
        ([([0, 1], [2]), ([], [2])], None, "fold 1 has no training rows"),
        ([([0, 1], [15])], None, "fold 0 names row 15, but X has rows 0 to 14"),
        ([([-1, 1], [2])], None, "fold 0 names row -1"),
        ([([0, 1], [])], None, "holds out no row"),
        ([], None, "holds out no row"),
        (StratifiedKFold(20), None, "n_splits=20"),
    ],
)
def test_splits_that_are_refused(cv, groups, message):
    with pytest.raises(ValueError, match=message):
        splits_of(cv, [0] * 12 + [1] * 3, groups)


@pytest.mark.parametrize("groups", [None, np.arange(43) // 2], ids=["rows", "groups"])
def test_a_class_with_fewer_rows_than_folds_is_a_warning_on_request(groups):
    y = np.array([0] * 40 + [1] * 3)
    with pytest.warns(UserWarning, match="'rare' has 3 rows, fewer than cv=5 folds") as caught:
        splits = splits_of(5, y, groups, rare="warn")
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert np.array_equal(np.sort(np.concatenate([test for _, test in splits])), np.arange(43))
    assert len(splits_of(5, y, groups, rare="pass")) == 5


@pytest.mark.parametrize("rare", ["raise", "warn", "pass"])
def test_one_row_of_two_classes_can_not_be_learnt_and_held_out(rare):
    with pytest.raises(ValueError, match="'rare' has 1 row: it cannot be both learnt and held out"):
        splits_of(2, [0] * 20 + [1], rare=rare)


def test_folds_that_no_class_can_fill_are_refused():
    with pytest.raises(ValueError, match=r"'rare' has 3 rows.*Pass cv=4 or less"):
        splits_of(5, [0] * 4 + [1] * 3, rare="warn")


def test_one_row_of_three_classes_is_in_one_fold():
    classes = np.array(["a", "b", "c"])
    y = np.array([0] * 10 + [1] * 10 + [2])
    with pytest.warns(UserWarning, match="'c' has 1 row, .*and no model predicts this class for"):
        splits = make_splits(5, y[:, None], y, {}, classes=classes, seed=0, rare="warn")
    assert sum(20 in test for _, test in splits) == 1
