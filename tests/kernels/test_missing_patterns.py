"""Rows grouped by equal confidence: which they are, when it is refused, and that a sweep by groups
is the sweep.
"""

import numpy as np
import pytest

from cfens_stack.kernels.missing_patterns import confidence_groups, second_moments
from cfens_stack.kernels.ridge import fold_in, sweep, sweep_moments


def grouped_confidence(n, m, n_patterns, seed=0):
    rng = np.random.default_rng(seed)
    patterns = rng.random((n_patterns, m)) < 0.7
    patterns[0] = False  # rows without a prediction are a group too
    return rng.uniform(0.5, 2.0, m) * patterns[rng.integers(0, n_patterns, n)]


@pytest.mark.parametrize("m", [5, 20, 64, 70, 130])
def test_groups_are_the_equal_rows(m):
    C = grouped_confidence(2000, m, 8)
    groups = confidence_groups(C)
    np.testing.assert_array_equal(np.sort(np.concatenate(groups)), np.arange(len(C)))
    assert len(groups) == len(np.unique(C, axis=0))
    for rows in groups:
        assert np.all(C[rows] == C[rows[0]])
        assert np.all(np.diff(rows) > 0)


def test_values_that_differ_within_a_column_are_no_group():
    """The other value in a later block, lower and higher than the first, or in the first one."""
    C = np.ones((20_000, 3))
    for row, value in [(15_000, 0.5), (15_000, 2.0), (7, 2.0)]:
        other = C.copy()
        other[row, 1] = value
        assert confidence_groups(other) is None
    assert len(confidence_groups(C)) == 1


def test_many_patterns_are_refused_wherever_they_begin():
    C = grouped_confidence(4000, 12, 2)
    scattered = (np.random.default_rng(1).random(C.shape) < 0.5) * 1.0
    assert confidence_groups(scattered) is None
    late = np.concatenate(
        [np.tile(C, (3, 1)), np.where(C.max(axis=0) > 0, C.max(axis=0), 1.0) * scattered]
    )
    assert confidence_groups(late) is None
    assert confidence_groups(C[:20]) is None


def test_a_sweep_by_groups_is_the_sweep_over_rows():
    """A tiny difference in one cell sends the same problem through the kernel for confidences a
    cell.
    """
    rng = np.random.default_rng(2)
    C, v, X = (
        grouped_confidence(1500, 9, 6),
        rng.integers(0, 3, 1500) + 0.5,
        rng.standard_normal((9, 4)),
    )
    C[7] = C.max(axis=0) * (np.arange(9) < 2)
    assert [7] in [rows.tolist() for rows in confidence_groups(C)]  # a group of one
    Z = np.where(C > 0, rng.standard_normal(C.shape), 1e6)
    apart = C.copy()
    apart[np.argmax(C[:, 0] > 0), 0] *= 1 + 1e-13
    assert second_moments(Z, apart, v) is None
    grouped, value, _ = sweep_moments(second_moments(Z, C, v), X, 0.7, 0.3)
    plain, expected, _ = sweep(Z, apart, v, X, 0.7, 0.3)
    np.testing.assert_allclose(grouped, plain, rtol=1e-7, atol=1e-9)
    assert value == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(
        fold_in(Z, C, X, 0.3), fold_in(Z, apart, X, 0.3), rtol=1e-9, atol=1e-10
    )


def test_fold_in_of_a_row_does_not_depend_on_its_group():
    rng = np.random.default_rng(3)
    C, X = grouped_confidence(1500, 9, 6), rng.standard_normal((9, 4))
    Z = np.where(C > 0, rng.standard_normal(C.shape), 0.0)
    alone = np.concatenate(
        [fold_in(Z[i : i + 1], C[i : i + 1], X, 0.3) for i in range(0, 1500, 100)]
    )
    np.testing.assert_allclose(fold_in(Z, C, X, 0.3)[::100], alone, rtol=1e-9, atol=1e-12)
