"""What a fitted stack says of new rows: predictions of the base models, and the meta-learner on
them.
"""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from cfens_stack.stacking.asking import ask_each, ask_in_time
from cfens_stack.stacking.base_models import column_names, model_columns, n_columns
from cfens_stack.stacking.base_predictions import as_probabilities
from cfens_stack.stacking.failures import FitFailure, report_predictions
from cfens_stack.stacking.frames import contributions_frame, index_of, named_predictions
from cfens_stack.stacking.tables import check_rows


class PredictionMixin(TransformerMixin, BaseEstimator):
    """Predictions of the base models and of the stack."""

    def transform(self, X):
        """`base_predictions`, as an array or, after `set_output`, as a data frame with a column per
        model.
        """
        return self.base_predictions(X)

    def fit_transform(self, X, y, sample_weight=None, groups=None):
        """Fit, and the out-of-fold predictions of the rows, `oof_`; see `fit`.

        They are not `fit(X, y).transform(X)`, whose base models have seen the labels.

        Parameters
        ----------
        X : table of shape (n, p)
        y : array-like of shape (n,)
        sample_weight, groups : array-like of shape (n,), default=None

        Returns
        -------
        R : ndarray or data frame of shape (n, m) or (n, m * K)
        """
        return self.fit(X, y, sample_weight=sample_weight, groups=groups).oof_.copy()

    def base_predictions(self, X, *, time_limit=None):
        """Prediction matrix of new rows, the input of the meta-learner.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (n, p)
        time_limit : float, default=None
            Seconds after which no base model is asked any more. They are then asked one after
            another, the fastest by `predict_times_` first, one at least.

        Returns
        -------
        R : ndarray of shape (n, m) or (n, m * K)
            Laid out like `oof_`. The columns of a lost model, of one that fails here or that the
            time did not suffice for, are NaN.
        """
        check_is_fitted(self, "meta_")
        if time_limit is not None and not time_limit > 0:
            raise ValueError(
                f"time_limit={time_limit}: pass a positive number of seconds, or None."
            )
        X = check_rows(self, X, reset=False)
        asked = {name: model for name, model in self.named_estimators_.items() if model is not None}
        if time_limit is None:
            outcomes = ask_each(asked, X, self._base_labels(), self.n_jobs)
        else:
            fastest = sorted(asked, key=lambda name: self.predict_times_[name])
            in_order = {name: asked[name] for name in fastest}
            outcomes = ask_in_time(in_order, X, self._base_labels(), time_limit)
        return self._matrix(outcomes, X.shape[0])

    def _matrix(self, outcomes, n_rows):
        """Prediction matrix from what base models said of new rows; reports what is missing."""
        n_classes = len(self.classes_)
        R = np.full((n_rows, len(self.model_names_) * n_columns(self.classes_)), np.nan)
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
        report_predictions(failures, abstentions, len(outcomes), self.on_failure)
        return R

    def _meta_predicts_probabilities(self):
        meta = self.meta_ if hasattr(self, "meta_") else self._new_meta()
        return hasattr(meta, "predict_proba")

    @available_if(_meta_predicts_probabilities)
    def predict_proba(self, X, *, time_limit=None):
        """Probabilities of the classes.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (n, p)
        time_limit : float, default=None
            Seconds after which no base model is asked any more, the fastest first; the others are
            missing, for a meta-learner that takes missing cells. One that is running goes on.

        Returns
        -------
        P : ndarray of shape (n, K)
            Columns in the order of `classes_`.
        """
        check_is_fitted(self, "meta_")
        if time_limit is not None and not get_tags(self.meta_).input_tags.allow_nan:
            raise ValueError(
                f"time_limit={time_limit} leaves cells missing, which meta={self.meta_!r} does not "
                "take: use a meta that takes NaN, such as CFEnsemble(), or put an imputer before it."
            )
        R = self._meta_input(X, time_limit)
        return self.meta_.predict_proba(R)

    @available_if(_meta_predicts_probabilities)
    def predict_log_proba(self, X):
        """Logarithm of `predict_proba`: ndarray of shape (n, K)."""
        return np.log(self.predict_proba(X))

    def predict(self, X):
        """Class of each row: ndarray of shape (n,)."""
        R = self._meta_input(X)
        return self.classes_[np.asarray(self.meta_.predict(R)).astype(int)]

    def _meta_explains(self):
        meta = self.meta_ if hasattr(self, "meta_") else self._new_meta()
        return hasattr(meta, "contributions")

    @available_if(_meta_explains)
    def contributions(self, X, return_intercept=False, as_frame=False):
        """What each base model adds to the log-odds of each row: see `CFEnsemble.contributions`.

        Parameters
        ----------
        X : table of shape (n, p)
        return_intercept : bool, default=False
        as_frame : bool, default=False
            A pandas frame with a column per model, named after it, and a last one "intercept"; for
            K > 2 classes columns are pairs (class, model).

        Returns
        -------
        contributions : ndarray of shape (n, m) or (n, m, K), or pandas.DataFrame
            In the order of `model_names_`. 0 where a model abstains.
        intercept : ndarray of shape (n,) or (n, K)
            With `return_intercept`, without `as_frame`.
        """
        R = self._meta_input(X)
        parts, intercept = self.meta_.contributions(R, return_intercept=True)
        if as_frame:
            return contributions_frame(
                parts, intercept, self.model_names_, self.classes_, index_of(X)
            )
        return (parts, intercept) if return_intercept else parts

    def _meta_input(self, X, time_limit=None):
        """Base predictions as the meta-learner was fitted on them."""
        R = self.base_predictions(X, time_limit=time_limit)
        return named_predictions(self.meta_, R, self.get_feature_names_out())

    def get_feature_names_out(self, input_features=None):
        """Names of the columns of `oof_`: the model's, followed by the class if there are more than
        two.
        """
        check_is_fitted(self, "meta_")
        return column_names(self.model_names_, self.classes_)

    def _base_labels(self):
        """What base models are fitted on: the class codes, or elsewhere the labels themselves."""
        return self.classes_ if self._is_prefit() else np.arange(len(self.classes_))
