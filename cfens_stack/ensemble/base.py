"""What every estimator of the package shares: validation, link, confidence, fold-in prediction,
posterior; (6) and (7).

A trainer adds one method, `_train`, which turns a `Problem` into model factors and an aggregator, a
`Solution`.
"""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from cfens_stack.ensemble.aggregator import AGGREGATORS, log_odds_slope
from cfens_stack.ensemble.calibration import calibration_slopes
from cfens_stack.ensemble.confidence import (
    CONFIDENCES,
    calibration,
    certainty,
    check_confidence,
    mean_one_scale,
)
from cfens_stack.ensemble.layout import LAYOUTS, find_layout
from cfens_stack.ensemble.link import (
    LINKS,
    apply_link,
    centre,
    invert_link,
    refuse_large_scores,
    standardise,
)
from cfens_stack.ensemble.posterior import class_weights, natural_posterior
from cfens_stack.ensemble.row_blocks import by_blocks, is_large
from cfens_stack.ensemble.summary import ensemble_summary
from cfens_stack.ensemble.training import Problem
from cfens_stack.html import FittedSummaryMixin
from cfens_stack.kernels.blocks import blocks, one_blas_thread
from cfens_stack.kernels.ridge import fold_in, ridges
from cfens_stack.validation import encode_labels, row_weights

PREDICT_BLOCK_ROWS = 16384
SMALL_WEIGHT = 0.1


class BaseCFEnsemble(
    FittedSummaryMixin,
    ClassNamePrefixFeaturesOutMixin,
    ClassifierMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Fit template and prediction of the collaborative-filtering ensembles; subclasses provide
    `_train`.
    """

    takes_unlabelled_rows = (
        True  # missing entries of y are allowed: what StackingPipeline asks a meta-learner
    )

    _parameter_constraints: dict = {
        "n_classifiers": [Interval(Integral, 1, None, closed="left"), None],
        "trainer": [StrOptions({"als", "pytorch"})],
        "instance_factors": [StrOptions({"projected", "free"})],
        "device": [str],
        "dtype": [StrOptions({"float64", "float32"})],
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "rho": [Interval(Real, 0, 1, closed="both")],
        "lambda_reg": [Interval(Real, 0, None, closed="neither")],
        "link": [StrOptions(set(LINKS))],
        "smoothing": [Interval(Real, 0, 1, closed="right")],
        "confidence": [StrOptions(set(CONFIDENCES)), callable],
        "use_label_aware_confidence": ["boolean", StrOptions({"auto"})],
        "use_class_weights": ["boolean"],
        "focal_gamma": [Interval(Real, 0, None, closed="left")],
        "aggregator": [StrOptions(set(AGGREGATORS))],
        "aggregator_reg": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "nonnegative": ["boolean"],
        "posterior": [StrOptions({"natural", "weighted"})],
        "layout": [StrOptions(set(LAYOUTS))],
        "strict": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def fit(self, R, y, sample_weight=None):
        """Factorise the prediction matrix and train the aggregator.

        Parameters
        ----------
        R : array-like of shape (n, m)
            Out-of-fold probabilities, NaN where a model did not score a row. Two classes: one
            column a model, the probability of `classes_[1]`. K classes: K columns a model. See
            `layout`. `CFEnsemble` reads an array of 256 MB or more, which may be a memory map, by
            blocks of rows without a copy.
        y : array-like of shape (n,)
            Class labels. NaN, None and pandas.NA mark rows without a label: they take part in the
            factorisation only.
        sample_weight : array-like of shape (n,), default=None
            A row of weight 2 counts as the same row twice, throughout. Weights that sum to 1 thus
            say that there is one row: with aggregator_reg="auto" a mean below 0.1 over the labelled
            rows brings a warning.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If R holds infinite values, values beyond 1e100 or no prediction at all, y has less than
            two classes or is continuous, a weight is negative or a class has none, a parameter is
            outside its range, the columns do not fit `layout`, or `strict=True` and a prediction is
            outside [0, 1].
        """
        before = self.__dict__.copy()
        try:
            with one_blas_thread():
                self._fit(R, y, sample_weight)
        except BaseException:  # a refused or interrupted fit leaves the estimator as it was
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        self._warn_unless_converged(stacklevel=3)
        return self

    def _fit(self, R, y, sample_weight):
        self._validate_params()
        R = self._check_predictions(R, reset=True)
        self.classes_, y = encode_labels(y)
        check_consistent_length(R, y)
        v = row_weights(sample_weight, R, y, self.classes_)
        self._warn_of_small_weights(y, v, stacklevel=4)
        self._store(self._solve(R, y, v))

    def predict_proba(self, R):
        """Probabilities of the classes, equations (6) and (7).

        Parameters
        ----------
        R : array-like of shape (n, m)
            Predictions of the base models for new rows; NaN where missing. Rows do not influence
            each other.

        Returns
        -------
        P : ndarray of shape (n, K)
            Columns in the order of `classes_`.
        """
        if is_large(R):
            return by_blocks(self.predict_proba, R)
        R = self._check_new(R)
        W = np.atleast_2d(self.coef_)[:, self._layout.columns]
        V, b = self._loadings().T @ W.T, self.intercept_ + W @ self.column_means_
        scores = np.concatenate(
            [self._fold_in(R[rows]) @ V + b for rows in blocks(len(R), PREDICT_BLOCK_ROWS)]
        )
        P = (
            softmax(scores, axis=1)
            if scores.shape[1] > 1
            else np.column_stack([expit(-scores), expit(scores)])
        )
        if self.posterior == "weighted" or not np.isfinite(self.aggregator_reg_):
            return P  # as trained, or the plain average, which nothing has tilted
        return natural_posterior(P, self._class_weights, self._focal_gamma)

    def predict(self, R):
        """The most probable class of each row. Shape (n,).

        With two classes the threshold is 1/2 on `predict_proba`;
        `sklearn.model_selection.TunedThresholdClassifierCV` finds a better one for metrics such as
        balanced accuracy.
        """
        P = self.predict_proba(R)
        return self.classes_[P.argmax(axis=1)]

    def transform(self, R):
        """Instance factors of new rows by fold-in, equation (6): ndarray of shape (n, d)."""
        return by_blocks(self.transform, R) if is_large(R) else self._fold_in(self._check_new(R))

    def reconstruct(self, R):
        """Predictions as the factorisation sees them, missing cells filled: mu + s X y_i on the
        scale of R.

        Returns
        -------
        R_hat : ndarray of shape (n, m)
            Probabilities with the logit link. A model that had no prediction in `fit` stays NaN.
        """
        if is_large(R):
            return by_blocks(self.reconstruct, R)
        R = self._check_new(R)
        G = self.column_means_ + self._fold_in(R) @ self._loadings().T
        R_hat = np.full(R.shape, np.nan)
        if self.link_ == "logit":
            G[:, self._unseen] = -np.inf  # a class that a model never gave a probability has none
        R_hat[:, self._layout.columns] = invert_link(
            G, self.link_, self._smoothing, self._layout.n_outputs
        )
        if self._layout.mirrors is not None:
            R_hat[:, self._layout.mirrors] = 1.0 - R_hat[:, self._layout.columns]
        return R_hat

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.classifier_tags.poor_score = self.aggregator == "mean"  # nothing is learnt from y
        return tags

    _fit_summary = ensemble_summary

    @property
    def _n_features_out(self):
        return self.classifier_factors_.shape[1]

    def _warn_of_small_weights(self, y, v, stacklevel):
        mean_weight = v[(y >= 0) & (v > 0)].mean()
        if self.aggregator_reg == "auto" and mean_weight < SMALL_WEIGHT:
            warnings.warn(
                f"sample_weight has mean {mean_weight:.2g} over the labelled rows. Weights count "
                "rows, so aggregator_reg='auto' trusts the labels less and stays close to the "
                "average of the calibrated models: rescale the weights to mean 1, or pass a "
                "number as aggregator_reg.",
                UserWarning,
                stacklevel=stacklevel,
            )

    def _warn_unless_converged(self, stacklevel):
        if not self.converged_:
            warnings.warn(
                f"{type(self).__name__} stopped after max_iter={self.max_iter} iterations without "
                f"reaching tol={self.tol}. Raise max_iter or tol; history_ shows how far the "
                "objective still moved.",
                ConvergenceWarning,
                stacklevel=stacklevel,
            )

    def _check_n_classifiers(self):
        expected = getattr(self, "n_classifiers", None)
        found = len(self._layout.columns) // self._layout.n_outputs
        if expected is not None and expected != found:
            raise ValueError(
                f"n_classifiers={expected}, but R has predictions of {found} base models: pass R "
                f"with the columns of {expected}, or leave n_classifiers=None to take the number "
                "from R."
            )

    def _solve(self, R, y, v):
        """Layout, then rows and columns with predictions, then training: Solution."""
        outside = (R < 0) | (R > 1)
        if self.strict and outside.any():
            raise ValueError(
                f"strict=True accepts probabilities in [0, 1], but {outside.sum()} cells of R lie "
                f"outside, the first of value {R[outside][0]:g}. Pass probabilities, or "
                "strict=False to treat the columns as scores."
            )
        self._layout = find_layout(R, len(self.classes_), self.layout)
        self.layout_ = self._layout.kind
        self._check_n_classifiers()
        kept = self._models_with_predictions(self._scored_columns(R, v))
        C = check_confidence(
            self.confidence, R, self._labels(y), used=np.ix_(v > 0, self._layout.keep(kept).columns)
        )
        if C is not None and not C[np.isfinite(R)].all():
            R = np.where(
                C > 0, R, np.nan
            )  # a cell without confidence is as good as missing, in the centring too
            kept = self._models_with_predictions(self._scored_columns(R, v))
        self._layout = self._layout.keep(kept)
        columns = self._layout.columns
        R, C = R[:, columns], C if C is None else C[:, columns]
        rows = np.isfinite(R).any(axis=1) & (v > 0)
        if not rows.all():
            R, y, v, C = R[rows], y[rows], v[rows], C if C is None else C[rows]
        self._check_classes(np.bincount(y[y >= 0], minlength=len(self.classes_)) > 0)
        return self._train(self._problem(R, y, v, C))

    def _check_classes(self, present):
        """Refuse a class without a labelled row that has a prediction; present is a mask of shape
        (K,).
        """
        if not present.all():
            raise ValueError(
                f"No labelled row of class {self.classes_[~present].tolist()[0]!r} has a "
                "prediction: every class needs one."
            )

    def _scored_columns(self, R, v):
        """Which columns in use have a prediction in a row of positive weight: ndarray of bool,
        shape (q,).
        """
        return (np.isfinite(R[:, self._layout.columns]) & (v > 0)[:, None]).any(axis=0)

    def _models_with_predictions(self, observed):
        """Which models have scored a row of positive weight, given which columns have; warns of the
        others.
        """
        kept = observed.reshape(-1, self._layout.n_outputs).any(axis=1)
        if not kept.any():
            raise ValueError(
                "R has no prediction at all: every cell is NaN, so no model has scored a row."
            )
        if not kept.all():
            lost = self._layout.columns.reshape(-1, self._layout.n_outputs)[~kept].ravel()
            names = getattr(self, "feature_names_in_", np.arange(self.n_features_in_))[lost]
            warnings.warn(
                f"Columns {names.tolist()} of R have no prediction in any row and are ignored.",
                UserWarning,
                stacklevel=5,
            )
        return kept

    def _problem(self, R, y, v, C):
        """Link, centring and confidence of the training rows."""
        observed = np.isfinite(R)
        labelled = y >= 0
        is_score = self._layout.kind == "scores"
        self._smoothing, self._confidence, self._focal_gamma = (
            self.smoothing,
            self.confidence,
            self.focal_gamma,
        )
        # Scores have no log-odds, and nobody knows that larger means likelier.
        self.link_ = "identity" if is_score else self.link
        G = apply_link(R, self.link_, self.smoothing, self._layout.n_outputs)
        self.column_means_, self.scale_ = centre(G, observed, v)
        self._unseen = ~observed.any(axis=0)
        K = len(self.classes_)
        self._class_weights = (
            class_weights(y[labelled], v[labelled], K) if self.use_class_weights else np.ones(K)
        )
        self._model_confidence = np.ones(R.shape[1])
        if self.confidence == "calibration" and not is_score:
            targets = self._layout.targets(y[labelled])
            self._model_confidence = calibration(R[labelled], targets, v[labelled])
        C = self._cell_confidence(R, observed, C)
        self._confidence_scale = mean_one_scale(np.broadcast_to(C, R.shape), v)
        C = C * self._confidence_scale
        ridge_x, self._ridge_y = ridges(np.broadcast_to(C, R.shape), v, self.lambda_reg)
        Z = standardise(G, observed, self.column_means_, self.scale_)
        slopes = np.ones(R.shape[1])
        if self._calibrates():
            targets, unit = self._layout.targets(y[labelled]), self._log_odds_unit()
            slopes = calibration_slopes(Z[labelled], observed[labelled], targets, v[labelled], unit)
        return Problem(
            R=R,
            Z=Z,
            C=C,
            v=v,
            y=y,
            class_weights=self._class_weights,
            mu=self.column_means_,
            scale=self.scale_,
            slopes=self._keep_slopes(slopes),
            ridge_x=ridge_x,
            ridge_y=self._ridge_y,
            link=self.link_,
            layout=self._layout,
            nonnegative=self.nonnegative and not is_score,
        )

    def _calibrates(self):
        """Whether columns are calibrated before they are weighed: the plain average takes them as
        they are.
        """
        return self.aggregator == "weighted" and self._layout.kind != "scores"

    def _keep_slopes(self, slopes):
        """Store slopes of the columns in use, and return them."""
        self.calibration_slopes_ = np.zeros(self.n_features_in_)
        self.calibration_slopes_[self._layout.columns] = slopes
        return slopes

    def _log_odds_unit(self):
        """Log-odds for a unit of the standardised predictions of a calibrated model."""
        return self.scale_ * log_odds_slope(self._layout.n_outputs, self.link_)

    def _cell_confidence(self, R, observed, C):
        """Confidence before scaling: (q,) where it is one number a column and nothing is missing,
        else (n, q).

        C is what a callable returned, else None.
        """
        if C is None and self._confidence == "certainty" and self._layout.kind != "scores":
            C = certainty(R)
        elif C is None and observed.all():
            return self._model_confidence
        elif C is None:
            C = self._model_confidence
        return np.where(observed, C, 0.0)

    def _store(self, solution):
        """Learned state; weights and factors of models without predictions are zero."""
        columns = self._layout.columns
        self.classifier_factors_ = np.zeros((self.n_features_in_, solution.X.shape[1]))
        self.classifier_factors_[columns] = solution.X
        W = np.zeros((len(solution.W), self.n_features_in_))
        W[:, columns] = solution.W
        self.coef_ = W[0] if len(W) == 1 else W
        self.intercept_ = float(solution.b[0]) if len(W) == 1 else solution.b
        self.aggregator_reg_ = solution.aggregator_reg
        self.history_ = solution.history
        self.n_iter_ = solution.n_iter
        self.converged_ = solution.converged

    def _loadings(self):
        """s X of the columns in use: the link-scale reconstruction is mu + Y (s X)'."""
        return self.scale_ * self.classifier_factors_[self._layout.columns]

    def _labels(self, y):
        """Labels of class codes, None for unlabelled rows: what a confidence callable is given."""
        if (y >= 0).all():
            return self.classes_[y]
        return np.where(y >= 0, self.classes_.astype(object)[y], None)

    def _check_new(self, R):
        check_is_fitted(self)
        return self._check_predictions(R, reset=False)

    def _check_predictions(self, R, reset):
        """R as floats, its columns checked or noted; values whose squares would overflow are
        refused.
        """
        R = validate_data(self, R, dtype=np.float64, ensure_all_finite="allow-nan", reset=reset)
        refuse_large_scores(R)
        return R

    @one_blas_thread()
    def _fold_in(self, R):
        """Instance factors of validated rows, (n, d)."""
        C = check_confidence(self._confidence, R, None)
        R, C = R[:, self._layout.columns], C if C is None else C[:, self._layout.columns]
        observed = np.isfinite(R)
        G = apply_link(R, self.link_, self._smoothing, self._layout.n_outputs)
        Z = standardise(G, observed, self.column_means_, self.scale_)
        C = self._cell_confidence(R, observed, C) * self._confidence_scale
        return fold_in(Z, C, self.classifier_factors_[self._layout.columns], self._ridge_y)
