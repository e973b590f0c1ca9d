"""Fits of several configurations on rows that are encoded once, as in a search."""

from collections.abc import Callable

from sklearn.base import BaseEstimator, clone

from cfens_stack.ensemble.encoded import check_encoded
from cfens_stack.ensemble.intake import take_in
from cfens_stack.kernels.blocks import one_blas_thread


class SharedRowsMixin(BaseEstimator):
    """`encode` and `fit_encoded`, which together are `fit`."""

    _fit: Callable

    def encode(self, R, y, sample_weight=None):
        """What fits on the same rows share, for `fit_encoded`.

        Parameters
        ----------
        R, y, sample_weight
            As for `fit`.

        Returns
        -------
        encoded : Encoded
        """
        self._validate_params()
        with one_blas_thread():
            return take_in(clone(self), R, y, sample_weight)

    def fit_encoded(self, encoded):
        """`fit` without what `encode` has done already; the result is the same.

        Parameters
        ----------
        encoded : Encoded
            Of an estimator with the same `layout`, `link`, `smoothing`, `aggregator`, `strict` and
            `pos_label`; with other ones it raises a ValueError.

        Returns
        -------
        self : object
        """
        return self._fit(lambda: check_encoded(self, encoded))
