"""What every estimator of the package shares: validation, link, confidence, fold-in prediction, posterior; (6) and (7).

A trainer adds one method, `_train`, which turns a `Problem` into model factors and an aggregator.
"""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data

from cfens_stack.aggregation import AGGREGATORS, class_weights, natural_posterior
from cfens_stack.confidence import CONFIDENCES, calibration, certainty, mean_one_scale
from cfens_stack.least_squares import blocks, fold_in, ridges
from cfens_stack.link import LINKS, apply_link, centre, invert_link, standardise
from cfens_stack.training import Problem

IMBALANCED_BELOW = 0.2  # share of the rarest class, section 4 of the design
PREDICT_BLOCK_ROWS = 16384


class BaseCFEnsemble(ClassNamePrefixFeaturesOutMixin, ClassifierMixin, TransformerMixin, BaseEstimator):
    """Fit template and prediction of the collaborative-filtering ensembles; subclasses provide `_train`."""

    _parameter_constraints: dict = {
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "rho": [Interval(Real, 0, 1, closed="both")],
        "lambda_reg": [Interval(Real, 0, None, closed="neither")],
        "link": [StrOptions(set(LINKS))],
        "clip": [Interval(Real, 0, 0.5, closed="neither")],
        "confidence": [StrOptions(set(CONFIDENCES)), callable],
        "use_class_weights": ["boolean"],
        "focal_gamma": [Interval(Real, 0, None, closed="left")],
        "aggregator": [StrOptions(set(AGGREGATORS))],
        "aggregator_reg": [Interval(Real, 0, None, closed="left")],
        "nonnegative": ["boolean"],
        "posterior": [StrOptions({"natural", "weighted"})],
        "strict": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_classifiers": [Interval(Integral, 1, None, closed="left"), None],
        "trainer": [StrOptions({"als"})],
        "use_label_aware_confidence": ["boolean", StrOptions({"auto"})],
        "random_state": ["random_state"],
    }

    def fit(self, R, y, sample_weight=None):
        """Factorise the prediction matrix and train the aggregator.

        Parameters
        ----------
        R : array-like of shape (n, m)
            Out-of-fold probabilities of `classes_[1]`, one column a base model; NaN where a model did not score a row.
        y : array-like of shape (n,)
            Class labels; two classes.
        sample_weight : array-like of shape (n,), default=None
            A row of weight 2 counts as the same row twice, throughout.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If R holds infinite values or no prediction at all, y has not exactly two classes, a weight is negative or
            all are zero, a parameter is outside its range, or `strict=True` and a prediction is outside [0, 1].
        """
        self._validate_params()
        R, y = validate_data(self, R, y, dtype=np.float64, ensure_all_finite="allow-nan")
        self._check_n_classifiers(R)
        codes = self._encode(y)
        v = _row_weights(sample_weight, R, codes, self.classes_)
        self._check_range(R)
        problem, columns = self._prepare(R, codes, v)
        solution = self._train(problem)
        self._store(solution, columns)
        if not self.converged_:
            warnings.warn(
                f"{type(self).__name__} stopped after max_iter={self.max_iter} iterations without reaching "
                f"tol={self.tol}. Raise max_iter or tol; history_ shows how far the objective still moved.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def predict_proba(self, R):
        """Probabilities of the classes, equations (6) and (7).

        Parameters
        ----------
        R : array-like of shape (n, m)
            Predictions of the base models for new rows; NaN where missing. Rows do not influence each other.

        Returns
        -------
        P : ndarray of shape (n, 2)
            Columns in the order of `classes_`.
        """
        R = self._check_new(R)
        score = np.empty(len(R))
        direction = self.coef_ @ self._loadings()
        offset = self.intercept_ + self.coef_ @ self.column_means_
        for rows in blocks(len(R), PREDICT_BLOCK_ROWS):
            score[rows] = self._fold_in(R[rows]) @ direction + offset
        P = np.column_stack([expit(-score), expit(score)])
        if self.posterior == "weighted" or self.aggregator == "mean":
            return P
        return natural_posterior(P, self._class_weights, self.focal_gamma)

    def predict(self, R):
        """The more probable class of each row. Shape (n,).

        The threshold is 1/2 on `predict_proba`; `sklearn.model_selection.TunedThresholdClassifierCV` finds a better
        one for metrics such as balanced accuracy.
        """
        P = self.predict_proba(R)
        return self.classes_[P.argmax(axis=1)]

    def transform(self, R):
        """Instance factors of new rows by fold-in, equation (6): ndarray of shape (n, d)."""
        return self._fold_in(self._check_new(R))

    def reconstruct(self, R):
        """Predictions as the factorisation sees them, missing cells filled: mu + s X y_i on the scale of R.

        Returns
        -------
        R_hat : ndarray of shape (n, m)
            Probabilities with the logit link. A column that had no prediction in `fit` is filled with the typical
            prediction of the other models.
        """
        Y = self._fold_in(self._check_new(R))
        return invert_link(self.column_means_ + Y @ self._loadings().T, self.link_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.classifier_tags.multi_class = False
        return tags

    @property
    def _n_features_out(self):
        return self.classifier_factors_.shape[1]

    def _check_n_classifiers(self, R):
        expected = getattr(self, "n_classifiers", None)
        if expected is not None and expected != R.shape[1]:
            raise ValueError(
                f"n_classifiers={expected}, but R has {R.shape[1]} columns: pass one column a base model, or leave "
                "n_classifiers=None to take the number from R."
            )

    def _encode(self, y):
        """Class codes 0 and 1 of y; sets `classes_`."""
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) == 1:
            raise ValueError(
                f"y has one class only ({self.classes_[0]!r}), but a classifier needs rows of two: pass both classes."
            )
        if len(self.classes_) > 2:
            raise ValueError(
                "Only binary classification is supported. The type of the target is "
                f"{type_of_target(y)} with {len(self.classes_)} classes; pass two."
            )
        return codes

    def _check_range(self, R):
        outside = (R < 0) | (R > 1)
        if self.strict and outside.any():
            raise ValueError(
                f"strict=True accepts probabilities in [0, 1], but {outside.sum()} cells of R lie outside, the first of "
                f"value {R[outside][0]:g}. Pass probabilities, or strict=False to treat the columns as scores."
            )
        self._is_score = bool(outside.any())

    def _prepare(self, R, codes, v):
        """Drop rows and columns without predictions, then link, centring and confidence: (Problem, kept columns)."""
        observed = np.isfinite(R)
        columns = (v[:, None] * observed).any(axis=0)
        if not columns.any():
            raise ValueError(
                "R has no prediction at all: every cell is NaN. At least one model must have scored rows."
            )
        if not columns.all():
            names = getattr(self, "feature_names_in_", np.arange(R.shape[1]))[~columns]
            warnings.warn(
                f"Columns {list(names)} of R have no prediction in any row and are ignored.", UserWarning, stacklevel=3
            )
        rows = observed.any(axis=1) & (v > 0)
        C = self._callable_confidence(R, self.classes_[codes])
        if not (rows.all() and columns.all()):
            kept = np.ix_(rows, columns)
            R, observed, C = R[kept], observed[kept], C if C is None else C[kept]
            codes, v = codes[rows], v[rows]
        if len(np.unique(codes)) < 2:
            raise ValueError(
                "Only rows of one class have a prediction: R must have predictions for rows of both classes."
            )
        # Columns outside [0, 1] are scores: they have no log-odds, and nobody knows that larger means likelier.
        self.link_ = "identity" if self._is_score else self.link
        G = apply_link(R, self.link_, self.clip)
        self.column_means_, self.scale_ = centre(G, observed, v)
        self._class_weights = class_weights(codes, v) if self.use_class_weights else np.ones(2)
        C = self._fit_confidence(R, codes, observed, v, C)
        ridge_x, self._ridge_y = ridges(np.broadcast_to(C, R.shape), v, self.lambda_reg)
        problem = Problem(
            R=R,
            Z=standardise(G, observed, self.column_means_, self.scale_),
            C=C,
            v=v,
            y=codes,
            s=v * self._class_weights[codes],
            mu=self.column_means_,
            scale=self.scale_,
            ridge_x=ridge_x,
            ridge_y=self._ridge_y,
            link=self.link_,
            nonnegative=self.nonnegative and not self._is_score,
        )
        return problem, columns

    def _fit_confidence(self, R, codes, observed, v, C):
        """Label-free confidence of the training rows, mean 1; keeps what gives new rows theirs on the same scale."""
        self._model_confidence = np.ones(R.shape[1])
        if self.confidence == "calibration":
            self._model_confidence = calibration(R, np.broadcast_to(codes[:, None], R.shape), v)
        C = self._cell_confidence(R, observed, C)
        self._confidence_scale = mean_one_scale(np.broadcast_to(C, R.shape), v)
        return C * self._confidence_scale

    def _cell_confidence(self, R, observed, C):
        """Confidence before scaling: (m,) where it is one number a model and nothing is missing, else (n, m).

        C is what a callable returned, else None.
        """
        if C is None and self.confidence == "certainty":
            C = certainty(R)
        elif C is None and observed.all():
            return self._model_confidence
        elif C is None:
            C = self._model_confidence
        return np.where(observed, C, 0.0)

    def _callable_confidence(self, R, y=None):
        """What the callable `confidence` returns for R, checked; None for the named choices."""
        if not callable(self.confidence):
            return None
        C = np.asarray(self.confidence(R, y), dtype=np.float64)
        if C.shape != R.shape:
            raise ValueError(
                f"confidence={self.confidence!r} returned shape {C.shape}, but R has shape {R.shape}: they must agree."
            )
        cells = C[np.isfinite(R)]
        if not np.isfinite(cells).all() or (cells < 0).any() or (y is not None and not cells.any()):
            raise ValueError(
                f"confidence={self.confidence!r} returned values that are negative, not finite or all zero where R has "
                "predictions: return numbers >= 0, some of them positive."
            )
        return C

    def _store(self, solution, columns):
        """Learned state, with zeros for columns that had no prediction: they then add nothing anywhere."""
        m, d = len(columns), solution.X.shape[1]
        typical = self.column_means_.mean()
        self.classifier_factors_ = np.zeros((m, d))
        self.classifier_factors_[columns] = solution.X
        self.coef_ = np.zeros(m)
        self.coef_[columns] = solution.w
        self.intercept_ = solution.intercept
        for name, fill in (("column_means_", typical), ("_model_confidence", 1.0)):
            full = np.full(m, fill)
            full[columns] = getattr(self, name)
            setattr(self, name, full)
        self.history_ = solution.history
        self.n_iter_ = solution.n_iter
        self.converged_ = solution.converged

    def _loadings(self):
        """s X: the link-scale reconstruction is mu + Y (s X)'."""
        return self.scale_ * self.classifier_factors_

    def _check_new(self, R):
        check_is_fitted(self)
        return validate_data(self, R, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)

    def _fold_in(self, R):
        observed = np.isfinite(R)
        Z = standardise(apply_link(R, self.link_, self.clip), observed, self.column_means_, self.scale_)
        C = self._cell_confidence(R, observed, self._callable_confidence(R)) * self._confidence_scale
        return fold_in(Z, C, self.classifier_factors_, self._ridge_y)


def _row_weights(sample_weight, R, codes, classes):
    """Validated sample weights; both classes keep some."""
    if sample_weight is None:
        return np.ones(len(R))
    v = _check_sample_weight(sample_weight, R, dtype=np.float64, ensure_non_negative=True)
    mass = np.bincount(codes, weights=v, minlength=len(classes))
    if not mass.all():
        raise ValueError(
            f"sample_weight gives class {classes[mass.argmin()]!r} a total weight of 0: every class needs a row of "
            "positive weight."
        )
    return v
