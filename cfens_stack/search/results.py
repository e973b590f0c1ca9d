"""What a fitted search does and shows: prediction, trials and the Pareto front as tables."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from cfens_stack.html import FittedSummaryMixin
from cfens_stack.labelled_score import LabelledScoreMixin
from cfens_stack.positive_class import positive_class
from cfens_stack.search.selection import pareto_front
from cfens_stack.search.summary import search_summary
from cfens_stack.validation import filled


def _refits(search):
    return bool(search.refit)


class SearchResults(FittedSummaryMixin, LabelledScoreMixin, ClassifierMixin, BaseEstimator):
    """The half of CFEnsembleSearch that follows its fit."""

    @available_if(_refits)
    def predict_proba(self, R):
        """Probabilities of the classes: ndarray of shape (n, K), columns in the order of
        `classes_`.
        """
        R = self._check_new(R)
        return self.best_estimator_.predict_proba(R)

    @available_if(_refits)
    def predict(self, R):
        """Class of each row: ndarray of shape (n,). By `best_threshold_` if there is one, else the
        most probable.
        """
        P = self.predict_proba(R)
        if self.best_threshold_ is None:
            return self.classes_[P.argmax(axis=1)]
        positive = positive_class(self.pos_label, self.classes_)
        is_positive = P[:, positive] >= self.best_threshold_
        return self.classes_[np.where(is_positive, positive, 1 - positive)]

    @available_if(_refits)
    def contributions(self, R, return_intercept=False):
        """What each base model adds to the log-odds of each row: see `CFEnsemble.contributions`.

        Raises
        ------
        ValueError
            If several configurations were selected: the mean of their probabilities has log-odds
            that are no sum over models.
        """
        R = self._check_new(R)
        if not hasattr(self.best_estimator_, "contributions"):
            raise ValueError(
                f"selection={self.selection!r} averages {len(self.selected_trials_)} "
                "configurations, whose log-odds are no sum over models: search with another "
                "selection, such as 'beyond-noise'."
            )
        return self.best_estimator_.contributions(R, return_intercept=return_intercept)

    @property
    def trials_(self):
        """Trials as a pandas data frame, a row a trial: state, score, parameters, standard error,
        times, errors.
        """
        check_is_fitted(self, "study_")
        try:
            return self.study_.trials_dataframe()
        except ImportError as error:
            raise ImportError(
                "trials_ is a data frame and needs pandas: pip install pandas."
            ) from error

    @property
    def pareto_front_(self):
        """The trials that no other beats in every score, as a pandas data frame: a row per trial,
        with its scores, parameters and whether it was selected.
        """
        import pandas as pd

        check_is_fitted(self, "study_")
        rows = []
        for trial in pareto_front(self.study_):
            scores = dict(zip(self.aims_, trial.values, strict=True))
            selected = trial.number in self.selected_trials_
            rows.append({"trial": trial.number, "selected": selected, **scores, **trial.params})
        return pd.DataFrame(rows).set_index("trial")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    _fit_summary = search_summary

    def _check_new(self, R):
        check_is_fitted(self, "best_estimator_")
        return validate_data(
            self, filled(R), dtype=np.float64, ensure_all_finite="allow-nan", reset=False
        )
