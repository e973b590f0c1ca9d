"""What a fitted stack says of new rows: predictions of the base models, and the meta-learner on
them.
"""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from cfens_stack.stacking.asking import ask_each
from cfens_stack.stacking.base_models import model_columns, n_columns
from cfens_stack.stacking.base_predictions import as_probabilities
from cfens_stack.stacking.failures import FitFailure, report_predictions
from cfens_stack.stacking.tables import check_rows


class PredictionMixin(BaseEstimator):
    """Predictions of the base models and of the stack."""

    def base_predictions(self, X):
        """Prediction matrix of new rows, the input of the meta-learner.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (n, p)

        Returns
        -------
        R : ndarray of shape (n, m) or (n, m * K)
            Laid out like `oof_`. The columns of a lost model, or of one that fails here, are NaN.
        """
        check_is_fitted(self, "meta_")
        X = check_rows(self, X, reset=False)
        n_rows, n_classes = X.shape[0], len(self.classes_)
        R = np.full((n_rows, len(self.model_names_) * n_columns(self.classes_)), np.nan)
        asked = {name: model for name, model in self.named_estimators_.items() if model is not None}
        outcomes = ask_each(asked, X, self._base_labels(), self.n_jobs)
        failures, abstentions = [], []
        for name, block in model_columns(R, self.model_names_, self.classes_):
            outcome = outcomes.get(name)
            if isinstance(outcome, FitFailure):
                failures.append(outcome)
            elif outcome is not None:
                block[:] = as_probabilities(
                    outcome.predictions, self.calibrators_.get(name), n_classes
                )
                if n_lost := int((~np.isfinite(block)).any(axis=1).sum()):
                    abstentions.append((name, n_lost, n_rows))
        R[np.isinf(R)] = np.nan
        report_predictions(failures, abstentions, len(asked), self.on_failure)
        return R

    def _meta_predicts_probabilities(self):
        meta = self.meta_ if hasattr(self, "meta_") else self._new_meta()
        return hasattr(meta, "predict_proba")

    @available_if(_meta_predicts_probabilities)
    def predict_proba(self, X):
        """Probabilities of the classes: ndarray of shape (n, K), columns in the order of
        `classes_`.
        """
        R = self.base_predictions(X)
        return self.meta_.predict_proba(R)

    def predict(self, X):
        """Class of each row: ndarray of shape (n,)."""
        R = self.base_predictions(X)
        return self.classes_[np.asarray(self.meta_.predict(R)).astype(int)]

    def get_feature_names_out(self, input_features=None):
        """Names of the columns of `oof_`: the model's, followed by the class if there are more than
        two.
        """
        check_is_fitted(self, "meta_")
        if len(self.classes_) == 2:
            return np.array(self.model_names_, dtype=object)
        return np.array(
            [f"{name}_{label}" for name in self.model_names_ for label in self.classes_],
            dtype=object,
        )

    def _base_labels(self):
        """What base models are fitted on: the class codes, or elsewhere the labels themselves."""
        return self.classes_ if self._is_prefit() else np.arange(len(self.classes_))
