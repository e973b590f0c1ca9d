"""What each base model adds to the log-odds of a row, equation (6b)."""

from collections.abc import Callable
from typing import Any

import numpy as np

from cfens_stack.ensemble.damping import damping_of
from cfens_stack.kernels.adjoint import completion_weights, fold_in_weights
from cfens_stack.kernels.ridge import shared_solution


class ContributionsMixin:
    """`contributions` of a fitted ensemble."""

    _by_blocks: Callable[..., np.ndarray]
    classifier_factors_: np.ndarray
    encoder_: Any
    coef_: Any
    intercept_: Any
    base_logits_: Any
    aggregator_reg_: float
    posterior: str
    class_weights_: np.ndarray
    class_order_: np.ndarray

    def contributions(self, R, return_intercept=False):
        """What each base model adds to the log-odds of each row, equation (6b).

        The score of a row is linear in the observed predictions, each as its distance from the
        model's mean on the scale of the link: contribution = distance times weight. The weight is
        the one that a prediction has through reconstruction, not `coef_`, which weighs
        reconstructions. A missing prediction contributes 0, and those from which it is filled
        contribute that much more; what is unknown damps them all, equation (6a).

        Parameters
        ----------
        R : array-like of shape (n, m)
            Predictions of the base models; NaN where missing.
        return_intercept : bool, default=False
            Also return what is the same whatever the models predict. With missing cells it depends
            on the row, and is the log-odds of the classes in training where nothing is predicted.

        Returns
        -------
        contributions : ndarray of shape (n, m) or (n, m, K)
            m models, in the order of their columns. Two classes: of the log-odds of `classes_[1]`.
            K > 2: of the logarithm of each class's probability minus its mean over the classes.
        intercept : ndarray of shape (n,) or (n, K)
            With `return_intercept`. Contributions and intercept add up to the log-odds of
            `predict_proba`; with `focal_gamma` > 0 and `posterior="natural"` to those before (7)
            takes the tilt of the focal loss out, which is no sum over models.

        See Also
        --------
        cfens_stack.display.ContributionsDisplay : The picture.

        Examples
        --------
        >>> import numpy as np
        >>> from cfens_stack import CFEnsemble
        >>> from cfens_stack.datasets import make_predictions
        >>> data = make_predictions(300, 4, missing=0.2, random_state=0)
        >>> meta = CFEnsemble().fit(data.R, data.y)
        >>> parts, intercept = meta.contributions(data.R, return_intercept=True)
        >>> P = meta.predict_proba(data.R)
        >>> bool(np.allclose(parts.sum(axis=1) + intercept, np.log(P[:, 1] / P[:, 0])))
        True
        """
        parts = self._by_blocks(self._score_parts, R)
        return (parts[:, :-1], parts[:, -1]) if return_intercept else parts[:, :-1]

    def _score_parts(self, R):
        """Contributions of checked rows, and the intercept as one more: (n, m + 1) or (..., K)."""
        encoder, S = self.encoder_, len(np.atleast_2d(self.coef_))
        W = np.atleast_2d(self.coef_)[:, encoder.layout.columns]
        X = self.classifier_factors_[encoder.layout.columns]
        Z, C = encoder.encode(R)
        cells = cell_weights(encoder, X, W, C) * Z[:, :, None]
        b, learnt = self.intercept_ + W @ encoder.means, np.isfinite(self.aggregator_reg_)
        kappa, t = np.ones(len(R)), np.zeros(len(R))
        damping = damping_of(encoder, X, W) if learnt else None
        if damping is not None and (damped := damping(C)) is not None:
            kappa, t = damped
        models = np.zeros((len(R), n_models(encoder) + 1, S))
        of_model = np.eye(n_models(encoder))[column_models(encoder)]
        models[:, :-1] = np.einsum("iqs,qu->ius", cells, of_model)
        models *= kappa[:, None, None]
        models[:, -1] = np.outer(1.0 - t, b) + np.outer(t, self.base_logits_)
        return self._as_log_odds(models, corrected=learnt and self.posterior == "natural")

    def _as_log_odds(self, parts, corrected):
        """Parts of the scores as parts of the log-odds, in the order of `classes_`."""
        logs = np.log(self.class_weights_)
        if parts.shape[2] == 1:
            turned = -1.0 if self.class_order_[0] != 0 else 1.0
            parts = turned * parts[:, :, 0]
            if corrected:
                parts[:, -1] -= logs[1] - logs[0]
            return parts
        parts = parts[:, :, self.class_order_]
        if corrected:
            parts[:, -1] -= logs
        return parts - parts.mean(axis=2, keepdims=True)


def cell_weights(encoder, X, W, C):
    """Weights of the centred predictions in the scores: (n, q, S), or (q, S) where rows share them.

    Parameters
    ----------
    encoder : Encoder
    X : ndarray of shape (q, d)
    W : ndarray of shape (S, q)
        On link-scale reconstructions.
    C : ndarray of shape (n, q), or (q,) where it is the same in all rows
    """
    V, completion = encoder.scale * (W @ X).T, encoder.completion
    if completion is not None and not completion.per_cell:
        weights = shared_solution(completion.confidence, X, encoder.ridge).T @ V
    elif C.ndim == 1:
        return shared_solution(C, X, encoder.ridge).T @ V
    else:
        filled = C if completion is None else np.where(C > 0, C, completion.confidence)
        weights = fold_in_weights(filled, X, encoder.ridge, V)
    if completion is None or C.ndim == 1:
        return weights
    return completion_weights(C, completion.covariance, completion.noise, weights)


def n_models(encoder):
    """Base models that the columns of R belong to, those without predictions among them."""
    layout = encoder.layout
    width = 2 if layout.mirrors is not None else layout.n_outputs
    return encoder.n_features // width


def column_models(encoder):
    """Which model each column in use belongs to: ndarray of int, shape (q,)."""
    layout = encoder.layout
    if layout.n_outputs == 1 and layout.mirrors is None:
        return layout.columns
    # Columns of one model lie side by side, or one stretch of all models apart.
    pair = layout.columns[:2] if layout.mirrors is None else (layout.mirrors[0], layout.columns[0])
    together = pair[1] - pair[0] == 1
    m = n_models(encoder)
    return layout.columns // (encoder.n_features // m) if together else layout.columns % m
