"""What the fits of the base models leave behind, model by model: taken over by the pipeline as its
attributes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from cfens_stack.stacking.failures import FitFailure, FitWarning


def n_columns(classes):
    """Columns per model in the prediction matrix."""
    return 1 if len(classes) == 2 else len(classes)


def model_columns(R, names, classes):
    """Name and columns (a view) of each model in the prediction matrix."""
    width = n_columns(classes)
    return [(name, R[:, u * width : (u + 1) * width]) for u, name in enumerate(names)]


def column_names(names, classes):
    """Names of the columns of the prediction matrix: the model's, followed by the class if there
    are more than two.
    """
    if len(classes) > 2:
        names = [f"{name}_{label}" for name in names for label in classes]
    return np.array(names, dtype=object)


@dataclass(frozen=True)
class BaseModels:
    """Fitted base models, their out-of-fold predictions, and what was noted on the way.

    Attributes
    ----------
    names : list of str, length m
    estimators : list of length m
        None for a model that is lost.
    calibrators : dict of str to LogisticRegression
    failures : list of FitFailure
    warnings : list of FitWarning
    fit_times, predict_times : dict of str to float
    oof : ndarray of shape (n, m) or (n, m * K)
    """

    names: list[str]
    estimators: list[Any]
    calibrators: dict[str, LogisticRegression]
    failures: list[FitFailure]
    warnings: list[FitWarning]
    fit_times: dict[str, float]
    predict_times: dict[str, float]
    oof: np.ndarray

    def keep(self, names, classes):
        """The same for some of the models, in their present order."""
        columns = dict(model_columns(self.oof, self.names, classes))
        left = [name for name in self.names if name in names]
        return BaseModels(
            left,
            [self.estimators[self.names.index(name)] for name in left],
            _of(left, self.calibrators),
            [failure for failure in self.failures if failure.model in left],
            [warned for warned in self.warnings if warned.model in left],
            _of(left, self.fit_times),
            _of(left, self.predict_times),
            np.hstack([columns[name] for name in left]),
        )

    def joined(self, others):
        """These models and others of the same rows and folds."""
        return BaseModels(
            self.names + others.names,
            self.estimators + others.estimators,
            self.calibrators | others.calibrators,
            self.failures + others.failures,
            self.warnings + others.warnings,
            self.fit_times | others.fit_times,
            self.predict_times | others.predict_times,
            np.hstack([self.oof, others.oof]),
        )


def _of(names, values):
    return {name: value for name, value in values.items() if name in names}
