"""Where compiled kernels are taken, and what is said of their compilation."""

import logging

import numpy as np
import pytest

from cfens_stack.kernels import compiled


@pytest.fixture
def unloaded():
    compiled.load.cache_clear()
    yield
    compiled.load.cache_clear()


def test_few_rows_and_a_shared_confidence_stay_with_numpy():
    n = compiled.COMPILED_FROM
    assert compiled.compiled_kernel("ridge_numba", np.ones((n - 1, 2))) is None
    assert compiled.compiled_kernel("ridge_numba", np.ones(2)) is None


def test_compilation_is_told_once_and_only_where_nothing_is_kept(
    unloaded, tmp_path, monkeypatch, caplog
):
    pytest.importorskip("numba")
    caplog.set_level(logging.INFO, logger="cfens_stack")
    monkeypatch.setattr(compiled, "KEPT", tmp_path)
    assert compiled.load("ridge_numba").__name__ == "cfens_stack.kernels.ridge_numba"
    compiled.load("ridge_numba")
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "numba compiles ridge_numba" in caplog.text
    caplog.clear()
    (tmp_path / "logistic_numba.joint_sums-1.py311.nbi").touch()
    compiled.load("logistic_numba")
    assert not caplog.records
