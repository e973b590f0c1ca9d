"""Predictions and what is made of them as pandas frames, where pandas is installed."""

from importlib import import_module

import numpy as np
from sklearn.base import BaseEstimator

from cfens_stack.ensemble.engines import too_large_to_copy


def pandas_for(what):
    """Pandas, or an ImportError that names what needs it, and the extra."""
    try:
        return import_module("pandas")
    except ImportError as error:
        raise ImportError(
            f"{what} returns a pandas frame: pip install pandas, or 'cfens-stack[recipes]'."
        ) from error


class FramesMixin(BaseEstimator):
    """What a fitted stack shows as data frames."""

    def oof_frame(self):
        """`oof_` as a pandas frame: columns are named by `get_feature_names_out`, rows as in the
        data frame that was fitted, if it was one of pandas.
        """
        data = self._kept_data()
        return pandas_for("oof_frame").DataFrame(
            self.oof_, columns=self.get_feature_names_out(), index=data.index
        )


def named_predictions(meta, R, names):
    """R as a frame with the names of its columns, for meta-learners of this package, which tell of
    columns by their names; for others, and where there is no pandas, R itself.
    """
    if not getattr(meta, "takes_unlabelled_rows", False) or too_large_to_copy(R):
        return R
    if getattr(meta, "n_features_in_", None) is not None and not hasattr(meta, "feature_names_in_"):
        return R  # fitted without pandas
    try:
        pandas = import_module("pandas")
    except ImportError:
        return R
    return pandas.DataFrame(R, columns=list(names)) if len(set(names)) == len(names) else R


def index_of(X):
    """The index of a pandas frame; None for other tables."""
    return X.index if hasattr(X, "iloc") else None


def contributions_frame(parts, intercept, names, classes, index):
    """Contributions (n, m) or (n, m, K) and the intercept, as a frame with named columns."""
    pandas = pandas_for("contributions(as_frame=True)")
    names = [*names, "intercept"]
    if parts.ndim == 2:
        values = np.column_stack([parts, intercept])
        return pandas.DataFrame(values, columns=names, index=index)
    values = np.concatenate([parts, intercept[:, None]], axis=1).transpose(0, 2, 1)
    columns = pandas.MultiIndex.from_product([classes.tolist(), names], names=["class", "model"])
    return pandas.DataFrame(values.reshape(len(values), -1), columns=columns, index=index)
