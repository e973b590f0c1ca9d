"""AutoGluon: CFEnsemble on the predictions that a fitted TabularPredictor already holds."""

import logging

import numpy as np
import pandas as pd
from sklearn.exceptions import NotFittedError

from cfens_stack.plugins.ensembles import clone_for_adapter

logger = logging.getLogger(__name__)


class PredictorEnsemble:
    """Stack the models of a fitted predictor afterwards, without fitting any of them again.

    A bagged predictor (`num_bag_folds`) gives out-of-fold predictions of its training rows; rows
    that a model has none for are missing cells. Any other predictor, and one fitted with
    `use_bag_holdout=True`, gives predictions of its holdout rows, which are fewer and on which
    models may have stopped early.

    Parameters
    ----------
    predictor : autogluon.tabular.TabularPredictor
        Fitted, for two or more classes.
    ensemble : estimator, default=None
        `CFEnsemble()` if None; else it is cloned. `layout="auto"` is replaced by the layout that is
        passed.
    models : list of str, default=None
        Names from `predictor.model_names()`. None: the models of the first level that can infer.
        Where a model has been refitted on all rows, the original stands for both.

    Attributes
    ----------
    ensemble_ : estimator
        The fitted ensemble.
    models_ : list of str
        Models that take part.
    rows_ : {"out-of-fold", "holdout"}
        What the ensemble was fitted on.
    classes_ : ndarray of shape (K,)
        Labels as they were given to the predictor, sorted. Classes that AutoGluon dropped as too
        rare are not among them.
    R_ : DataFrame of shape (n, m) or (n, m K)
        The predictions that the ensemble was fitted on, with AutoGluon's index.
    y_ : Series of shape (n,)
        Their labels.
    """

    def __init__(self, predictor, ensemble=None, models=None):
        self.predictor = predictor
        self.ensemble = ensemble
        self.models = models

    def fit(self):
        """Fit the ensemble on what the predictor has kept.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If the predictor is not a classifier, or a model is unknown or, on a holdout, was
            refitted on it.
        """
        if self.predictor.problem_type not in ("binary", "multiclass"):
            raise ValueError(
                "PredictorEnsemble stacks classifiers; problem_type is "
                f"{self.predictor.problem_type!r}."
            )
        # What predict_proba_multi(None) itself goes by.
        has_holdout = self.predictor._trainer.has_val
        self.rows_ = "holdout" if has_holdout else "out-of-fold"
        self.models_ = self._choose_models()
        _, y = self.predictor.load_data_internal("val" if has_holdout else "train", return_X=False)
        y = self.predictor.transform_labels(y, inverse=True)
        once = ~y.index.duplicated()  # AutoGluon repeats rows of rare classes
        self.y_ = y[once]
        self.classes_ = np.unique(self.y_)
        self.R_ = self._predictions(None)[once]
        logger.info(
            "Fitting on %s predictions of %d rows, models %s.",
            self.rows_,
            len(self.R_),
            self.models_,
        )
        self.ensemble_ = clone_for_adapter(self.ensemble, len(self.classes_)).fit(self.R_, self.y_)
        return self

    def predict_proba(self, data):
        """Probabilities of the classes.

        Parameters
        ----------
        data : DataFrame of n rows, or path of a file
            As `predictor.predict_proba` takes it.

        Returns
        -------
        P : ndarray of shape (n, K)
            Columns in the order of `classes_`.
        """
        if not hasattr(self, "ensemble_"):
            raise NotFittedError("This PredictorEnsemble is not fitted yet: call fit first.")
        return self.ensemble_.predict_proba(self._predictions(data))

    def predict(self, data):
        """The most probable class of each row, ndarray of shape (n,)."""
        P = self.predict_proba(data)
        return self.classes_[P.argmax(axis=1)]

    def _choose_models(self):
        able = self.predictor.model_names(can_infer=True)
        originals = self.predictor.model_refit_map(inverse=True)
        if self.models is None:
            first = self.predictor.model_names(level=1, can_infer=True)
            on_holdout = self.rows_ == "holdout"
            chosen = [
                m for m in first if m not in originals or not (on_holdout or originals[m] in able)
            ]
            if not chosen:
                raise ValueError(
                    "No model of the first level can infer and predicts rows that it was not "
                    "fitted on."
                )
            return chosen
        unknown = [m for m in self.models if m not in able]
        if unknown:
            raise ValueError(
                f"Models {unknown} are not among those of the predictor that can infer: {able}."
            )
        seen = [m for m in self.models if m in originals]
        if seen and self.rows_ == "holdout":
            raise ValueError(
                f"Models {seen} were refitted on the holdout rows too: pass the models they "
                "come from."
            )
        return list(self.models)

    def _predictions(self, data):
        """R with named columns; with two classes, only that of the second."""
        of_model = self.predictor.predict_proba_multi(data, models=self.models_)
        if len(self.classes_) == 2:
            return pd.DataFrame({m: of_model[m][self.classes_[1]] for m in self.models_})
        return pd.DataFrame(
            {f"{m}={label}": of_model[m][label] for m in self.models_ for label in self.classes_}
        )
