"""What missing cells do to a score, equation (6a): the less is known, the nearer to the prior.

A logistic score eta with variance v has the mean probability E[sigmoid(eta)], which is close to
sigmoid(kappa eta) with kappa = (1 + pi v / 8)^-1/2 (MacKay 1992). v is the variance that the missing
cells of a row leave in its score, so that a complete row has kappa = 1. The part t of the intercept
gives way to the base, the score of the class shares: a row without any prediction has t = 1.
"""

from dataclasses import dataclass

import numpy as np

from cfens_stack.ensemble.completion import Completion
from cfens_stack.kernels.ridge import shared_solution


@dataclass(frozen=True, eq=False)
class Damping:
    """kappa and t of rows, from the confidence of their observed cells.

    Attributes
    ----------
    completion : Completion
    B : ndarray of shape (q, q)
        Of which trace(V B) is the variance of a score for the covariance V of the missing cells;
        with several classes the mean variance of the difference of two scores.
    """

    completion: Completion
    B: np.ndarray

    @property
    def lowest(self):
        """kappa of a row without any prediction."""
        return damping_factor(np.sum(self.completion.covariance * self.B))

    def __call__(self, C):
        """kappa and t of each row, (n,) both; None where no cell is missing.

        Parameters
        ----------
        C : ndarray of shape (n, q), or (q,) where nothing is missing
            Confidence, 0 in missing cells.
        """
        return self.of(self.completion.excess_variance(C, self.B))

    def of(self, variance):
        """kappa and t of rows whose scores have this variance; None where no cell is missing."""
        if variance is None:
            return None
        kappa = damping_factor(variance)
        lowest = self.lowest
        t = (1.0 - kappa) / (1.0 - lowest) if lowest < 1.0 else np.zeros(len(kappa))
        return kappa, t


def damping_factor(variance):
    """kappa for the variance of a score."""
    return 1.0 / np.sqrt(1.0 + np.pi / 8.0 * np.maximum(variance, 0.0))


def damping_of(encoder, X, W):
    """Damping for weights W (S, q) on link-scale reconstructions; None without a completion.

    A reconstruction is T z with T = X K, so W T s are the weights of the scores on z itself.
    """
    completion = encoder.completion
    if completion is None:
        return None
    K = shared_solution(completion.confidence, X, encoder.ridge)
    weights = encoder.scale * (W @ X) @ K
    S, total = len(weights), weights.sum(axis=0)
    B = weights.T @ weights
    if S > 1:  # the mean over pairs of classes of the variance of a difference
        B = 2.0 * (S * B - np.outer(total, total)) / (S * (S - 1.0))
    return Damping(completion, B)
