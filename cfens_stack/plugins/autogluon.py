"""AutoGluon: CFEnsemble on the predictions that a fitted TabularPredictor already holds."""

import logging
import time

import numpy as np
import pandas as pd
from sklearn.exceptions import NotFittedError

from cfens_stack.plugins.autogluon_files import FilesMixin
from cfens_stack.plugins.autogluon_leaderboard import BoardMixin
from cfens_stack.plugins.autogluon_predictions import (
    as_matrix,
    best_models,
    check_kept,
    choose_models,
    kept_predictions,
    kept_rows,
)
from cfens_stack.plugins.ensembles import clone_for_adapter
from cfens_stack.stacking.leaderboard import model_weights

logger = logging.getLogger(__name__)

SHOWN = 4  # models with their weights in the repr


class PredictorEnsemble(BoardMixin, FilesMixin):
    """Stack the models of a fitted predictor afterwards, without fitting any of them again.

    A bagged predictor (`num_bag_folds`) gives out-of-fold predictions of its training rows; rows
    that a model has none for are missing cells. Any other predictor, and one fitted with
    `use_bag_holdout=True`, gives predictions of its holdout rows, which are fewer and on which
    models may have stopped early. Predictions that AutoGluon scales by a temperature are scaled for
    the fit too.

    Parameters
    ----------
    predictor : autogluon.tabular.TabularPredictor
        Fitted, for two or more classes; not for regression.
    ensemble : estimator, default=None
        `CFEnsemble()` if None; else it is cloned. `layout="auto"` is replaced by the layout that is
        passed.
    models : list of str, default=None
        Names from `predictor.model_names()`. None: the models of the first level that can infer.
        Where a model has been refitted on all rows, the original stands for both.
    max_models : int, default=None
        Keep as many of them at most, chosen by `cfens_stack.stacking.select_models`: of the subsets
        within the limit the one with the least log loss on rows that the ensemble was not fitted
        on. None: all.

    Attributes
    ----------
    ensemble_ : estimator
        The fitted ensemble.
    models_ : list of str
        Models that take part.
    weights_ : Series of shape (m,)
        Weights of the models, the largest of several classes; NaN if the ensemble has none.
    rows_ : {"out-of-fold", "holdout"}
        What the ensemble was fitted on.
    classes_ : ndarray of shape (K,)
        Labels as they were given to the predictor, sorted. Classes that AutoGluon dropped as too
        rare are not among them.
    R_ : DataFrame of shape (n, m) or (n, m K)
        The predictions that the ensemble was fitted on, with AutoGluon's index.
    y_ : Series of shape (n,)
        Their labels.
    sample_weight_ : Series of shape (n,), or None
        Their weights, if the predictor has a `sample_weight`. The ensemble was fitted with them.
    fit_seconds_ : float
        Of `fit`, the choice of models included.
    """

    def __init__(self, predictor, ensemble=None, models=None, max_models=None):
        self.predictor = predictor
        self.ensemble = ensemble
        self.models = models
        self.max_models = max_models

    def fit(self):
        """Fit the ensemble on what the predictor has kept.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If the predictor is not a classifier, a model is unknown or, on a holdout, was refitted
            on it, or `save_space` has deleted what would be needed.
        """
        start = time.perf_counter()
        check_kept(self.predictor)
        # What predict_proba_multi(None) itself goes by.
        on_holdout = self.predictor._trainer.has_val
        self.rows_ = "holdout" if on_holdout else "out-of-fold"
        self.models_ = choose_models(self.predictor, self.models, on_holdout)
        y, weights = kept_rows(self.predictor, on_holdout)
        once = ~y.index.duplicated()  # AutoGluon repeats rows of rare classes
        self.y_, self.sample_weight_ = y[once], None if weights is None else weights[once]
        self.classes_ = np.unique(self.y_)
        of_model = kept_predictions(self.predictor, self.models_, on_holdout)
        if self.max_models is not None:
            R = as_matrix(of_model, self.models_, self.classes_)[once]
            self.models_ = best_models(
                self.new_ensemble(), self.models_, R, self.y_, self.sample_weight_, self.max_models
            )
        self.R_ = as_matrix(of_model, self.models_, self.classes_)[once]
        logger.info(
            "Fitting on %s predictions of %d rows, models %s.",
            self.rows_,
            len(self.R_),
            self.models_,
        )
        self.ensemble_ = self.new_ensemble().fit(self.R_, self.y_, **self.fit_params())
        weights, _ = model_weights(self.ensemble_, len(self.models_))
        self.weights_ = pd.Series(weights, index=self.models_)
        self.fit_seconds_ = time.perf_counter() - start
        return self

    def predict_proba(self, data, as_pandas=True):
        """Probabilities of the classes.

        Parameters
        ----------
        data : DataFrame of n rows, or path of a file
            As `predictor.predict_proba` takes it.
        as_pandas : bool, default=True
            Whether to return a data frame with the index of `data`, or an array.

        Returns
        -------
        P : DataFrame or ndarray of shape (n, K)
            Columns in the order of `classes_`.
        """
        self.check_fitted()
        of_model = self.predictor.predict_proba_multi(data, models=self.models_)
        R = as_matrix(of_model, self.models_, self.classes_)
        P = self.ensemble_.predict_proba(R)
        return pd.DataFrame(P, index=R.index, columns=self.classes_) if as_pandas else P

    def predict(self, data, as_pandas=True, decision_threshold=None):
        """A class for each row.

        Parameters
        ----------
        data : DataFrame of n rows, or path of a file
        as_pandas : bool, default=True
            Whether to return a series with the index of `data`, or an array.
        decision_threshold : float, default=None
            With two classes: above which probability a row is of `predictor.positive_class`. None:
            `predictor.decision_threshold`, as in `predictor.predict`.

        Returns
        -------
        labels : Series or ndarray of shape (n,)
            With more than two classes the most probable.
        """
        P = self.predict_proba(data)
        order = [label for label in self.predictor.class_labels if label in P]
        labels = self.predictor.predict_from_proba(P[order], decision_threshold)
        labels = labels.rename(self.predictor.label)
        return labels if as_pandas else labels.to_numpy()

    def __repr__(self):
        if not hasattr(self, "ensemble_"):
            return f"PredictorEnsemble({self.predictor.path!r}), not fitted"
        ensemble = type(self.ensemble_).__name__
        head = (
            f"PredictorEnsemble({self.predictor.path!r}): {ensemble} of {len(self.models_)} models"
        )
        largest = self.weights_.reindex(self.weights_.abs().sort_values(ascending=False).index)
        shown = [f"{name} {weight:.2f}" for name, weight in largest.dropna().head(SHOWN).items()]
        more = [f"{len(self.models_) - SHOWN} more"] if len(self.models_) > len(shown) > 0 else []
        return f"{head}, {self.rows_}" + (f"; {', '.join(shown + more)}" if shown else "")

    def check_fitted(self, with_rows=False):
        """Raise where there is no ensemble, or not the rows that it was fitted on."""
        if not hasattr(self, "ensemble_"):
            raise NotFittedError("This PredictorEnsemble is not fitted yet: call fit first.")
        if with_rows and not hasattr(self, "R_"):
            raise ValueError(
                "This PredictorEnsemble is a clone for deployment, without the rows that it was "
                "fitted on: ask the original."
            )

    def new_ensemble(self):
        """A clone of what is fitted."""
        return clone_for_adapter(self.ensemble, len(self.classes_))

    def fit_params(self):
        """What its `fit` gets besides R and y."""
        weights = self.sample_weight_
        return {} if weights is None else {"sample_weight": weights.to_numpy()}
