"""What the estimators share: a fit from rows on an engine, and prediction, equations (6) and (7).

An estimator adds its parameters and one method, `train`, from a `Problem` to a `Solution`.
"""

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from cfens_stack.all_or_nothing import all_or_nothing
from cfens_stack.ensemble import rows as steps
from cfens_stack.ensemble.completion import has_converged
from cfens_stack.ensemble.constraints import CONSTRAINTS
from cfens_stack.ensemble.contributions import ContributionsMixin
from cfens_stack.ensemble.damping import damping_of
from cfens_stack.ensemble.encoded import make_problem
from cfens_stack.ensemble.engines import row_slices, too_large_to_copy
from cfens_stack.ensemble.intake import set_columns, take_in
from cfens_stack.ensemble.link import refuse_large_scores
from cfens_stack.ensemble.monitor import Monitor
from cfens_stack.ensemble.posterior import natural_posterior
from cfens_stack.ensemble.shared_rows import SharedRowsMixin
from cfens_stack.ensemble.summary import ensemble_summary
from cfens_stack.html import FittedSummaryMixin
from cfens_stack.kernels.blocks import blocks, one_blas_thread, over_chunks
from cfens_stack.kernels.ridge import fold_in
from cfens_stack.labelled_score import LabelledScoreMixin
from cfens_stack.row_order import warn_of_another_order
from cfens_stack.validation import filled, warn_user

PREDICT_BLOCK_ROWS = 8192  # fewer would not be compiled where cells are missing


class BaseCFEnsemble(
    FittedSummaryMixin,
    ContributionsMixin,
    SharedRowsMixin,
    ClassNamePrefixFeaturesOutMixin,
    LabelledScoreMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Fit and prediction of the collaborative-filtering ensembles; subclasses provide `train`."""

    # Missing entries of y are allowed: what StackingPipeline asks a meta-learner.
    takes_unlabelled_rows = True

    _parameter_constraints: dict = CONSTRAINTS

    def fit(self, R, y, sample_weight=None):
        """Factorise the prediction matrix and train the aggregator.

        Parameters
        ----------
        R : array-like of shape (n, m), or Partitions
            Out-of-fold probabilities, NaN where a model did not score a row. Two classes: one
            column per model, the probability of `classes_[1]`. K classes: K columns per model. See
            `layout`. A memory map, or an array too large for the memory to hold several of its
            size, is read by blocks of rows without a copy. For rows on several machines see
            `fit_partitions`.
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
        warn_of_another_order("R", R, y=y, sample_weight=sample_weight)
        return self._fit(lambda: take_in(self, R, y, sample_weight))

    def _fit(self, find_encoded):
        with all_or_nothing(self), one_blas_thread():
            self._validate_params()
            encoded = find_encoded()
            set_columns(self, encoded.encoder.n_features, encoded.names)
            self.classes_, self.class_order_ = encoded.classes, encoded.order
            problem = make_problem(encoded, self)
            self._store(problem, self.train(problem))
        self._warn_unless_converged()
        return self

    def train(self, problem):
        """Solution of a `Problem`: what a trainer adds."""
        raise NotImplementedError

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
        logits = self._by_blocks(self._logits, R)
        two = logits.shape[1] == 1
        P = np.hstack([expit(-logits), expit(logits)]) if two else softmax(logits, axis=1)
        if self.class_order_[0] != 0:  # else the columns stand as they are, and no copy is made
            P = P[:, self.class_order_]
        if self.posterior == "weighted" or not np.isfinite(self.aggregator_reg_):
            return P  # as trained, or the plain average, which nothing has tilted
        return natural_posterior(P, self.class_weights_, self.focal_gamma_)

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
        return self._by_blocks(self._fold_in, R)

    def reconstruct(self, R, return_std=False):
        """Predictions as the factorisation sees them, missing cells filled: mu + s X y_i on the
        scale of R.

        Parameters
        ----------
        R : array-like of shape (n, m)
        return_std : bool, default=False
            Also return how surely missing cells are known, equation (4a).

        Returns
        -------
        R_hat : ndarray of shape (n, m)
            Probabilities with the logit link. A model that had no prediction in `fit` stays NaN.
        std : ndarray of shape (n, m)
            With `return_std`: standard deviation of a missing prediction given the observed ones of
            its row, on the scale of the link (log-odds with one column per model); 0 where there is
            a prediction.

        Raises
        ------
        ValueError
            If `return_std=True` and the ensemble was fitted with `uncertainty=False`.
        """
        R_hat = self._by_blocks(self._reconstructed, R)
        if not return_std:
            return R_hat
        if self.encoder_.completion is None:
            raise ValueError(
                "return_std=True needs the normal model of complete rows, but this ensemble was "
                "fitted with uncertainty=False: fit with uncertainty=True."
            )
        return R_hat, self._by_blocks(self._deviations, R)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.classifier_tags.poor_score = self.aggregator == "mean"  # nothing is learnt from y
        return tags

    _fit_summary = ensemble_summary

    @property
    def _n_features_out(self):
        return self.classifier_factors_.shape[1]

    def _warn_unless_converged(self):
        if not self.converged_:
            warn_user(
                f"{type(self).__name__} stopped after max_iter={self.max_iter} iterations without "
                f"reaching tol={self.tol}. Raise max_iter or tol; history_ shows how far the "
                "objective still moved.",
                ConvergenceWarning,
            )

    def _store(self, problem, solution):
        """Learned state; weights and factors of models without predictions are zero."""
        encoder = problem.encoder
        self.encoder_ = encoder
        self.layout_, self.link_ = encoder.layout.kind, encoder.link
        self.column_means_, self.scale_ = encoder.means, encoder.scale
        self.class_weights_ = problem.class_weights[self.class_order_]
        self.focal_gamma_ = self.focal_gamma
        self.calibration_slopes_ = encoder.all_columns(problem.slopes)
        self.classifier_factors_ = encoder.all_columns(solution.X.T).T
        W = encoder.all_columns(solution.W)
        self.coef_ = W[0] if len(W) == 1 else W
        self.intercept_ = float(solution.b[0]) if len(W) == 1 else solution.b
        self.base_logits_ = solution.base
        self.aggregator_reg_ = solution.aggregator_reg
        self.history_ = {**solution.history, "completion": np.array(problem.changes)}
        self.n_iter_ = solution.n_iter
        self.converged_ = solution.converged and has_converged(problem.changes, self.tol)

    def _by_blocks(self, function, R):
        """function(R[rows]) of one block of checked rows after another, as one array; blocks go to
        the threads that `joblib.parallel_config` allows.
        """
        check_is_fitted(self)
        R = filled(R)
        check = refuse_large_scores
        if too_large_to_copy(R):
            validate_data(self, R, reset=False, skip_check_array=True)
            slices, check = row_slices(R), steps.check_predictions
        else:
            R = validate_data(self, R, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
            slices = blocks(len(R), PREDICT_BLOCK_ROWS)
        names = getattr(self, "feature_names_in_", np.arange(self.n_features_in_))
        monitor, result = Monitor(self.encoder_, names, self._factors, self.strict), None

        def of_block(rows):
            R_b = check(R[rows])
            monitor.see(R_b)
            return rows, function(R_b)

        with one_blas_thread():
            for rows, part in over_chunks(of_block, slices):
                if result is None:
                    result = np.empty((len(R), *part.shape[1:]), dtype=part.dtype)
                result[rows] = part
        monitor.report()
        return result

    def _fold_in(self, R):
        """Instance factors of checked rows: (n, d)."""
        Z, C = self.encoder_.complete(*self.encoder_.encode(R))
        return fold_in(Z, C, self._factors, self.encoder_.ridge)

    def _logits(self, R):
        """Scores of checked rows, equations (6) and (6a): (n, S)."""
        encoder, X = self.encoder_, self._factors
        Z, C = encoder.encode(R)
        W = np.atleast_2d(self.coef_)[:, encoder.layout.columns]
        learnt = np.isfinite(self.aggregator_reg_)  # the plain average is what it says
        damping, damped = damping_of(encoder, X, W) if learnt else None, None
        if damping is None:
            Z, C = encoder.complete(Z, C)
        else:
            Z, C, variance = encoder.completion.fill_with_variance(Z, C, damping.B)
            damped = damping.of(variance)
        logits = fold_in(Z, C, X, encoder.ridge) @ (encoder.scale * X.T @ W.T)
        b = self.intercept_ + W @ encoder.means
        if damped is None:
            return logits + b
        kappa, t = damped[0][:, None], damped[1][:, None]
        return kappa * logits + (1.0 - t) * b + t * self.base_logits_

    def _reconstructed(self, R):
        """Predictions that the instance factors of checked rows stand for: (n, m)."""
        return self.encoder_.decode(self._fold_in(R) @ self._factors.T)

    def _deviations(self, R):
        """Standard deviation of the missing cells of checked rows: (n, m)."""
        return self.encoder_.deviations(R)

    @property
    def _factors(self):
        """Factors of the columns in use: (q, d)."""
        return self.classifier_factors_[self.encoder_.layout.columns]
