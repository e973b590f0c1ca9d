"""Normal prior of the aggregator's weights, the penalty of (2), and the evidence of its strength.

Symbols as in `aggregator`. With three or more classes a model has one weight per class, and the
prior may have a pair of strengths: `common`, of the mean of the weights of a model, and `own`, of
what each class departs from it. One model may be worth more than another for every class; whether
it is worth more for one class than for the next is another question, with an answer of its own.
"""

from dataclasses import dataclass

import numpy as np

from cfens_stack.ensemble.newton import minimise

# Of aggregator_reg="auto", strongest first. Real sets use both ends. Weaker ones gain nothing
# there, and where few labels are separable the likelihood, and with it the evidence, would follow
# the weights to infinity.
STRENGTHS = 10.0 ** np.arange(4.0, 0.0, -0.5)
# Pairs (common, own), in decades: own = 100000 is one weight per model on real sets.
PAIRS = 10.0 ** np.array([(common, own) for own in (5, 4, 3, 2, 1) for common in (4, 3, 2, 1)])
LEAST_LOG_DET = -1e6


@dataclass(frozen=True)
class Prior:
    """Prior up to its strength: mean, copies of each weight, bounds; n as in `fit_from_sums`.

    With `by_class`, weights are ordered by model, then by class, and a strength may be a pair.
    """

    w0: np.ndarray
    copies: np.ndarray
    nonnegative: bool
    n: float
    by_class: bool = False

    @property
    def strengths(self):
        """Those that aggregator_reg="auto" chooses from: ndarray of shape (k,) or (k, 2)."""
        return PAIRS if self.by_class else STRENGTHS

    def penalty(self, strength):
        """What `minimise` is told of it."""
        common, own = pair(strength)
        return {
            "w0": self.w0,
            "copies": self.copies,
            "nonnegative": self.nonnegative,
            "strength": own / self.n,
            "common": None if common is None else common / self.n,
        }

    def fit(self, theta, strength, sums, M, t, loss=None):
        """`minimise` from theta at a strength."""
        return minimise(theta, sums, M, t, loss=loss, **self.penalty(strength))

    def evidence_cost(self, fit, strength):
        """-log evidence of a strength, from the fit at it."""
        theta, hessian, history = fit[:3]
        precision = self.precision(strength, len(theta) - len(self.w0))
        return evidence_cost(
            theta, self.n * hessian, self.n * history[-1], precision, self.nonnegative
        )

    def precision(self, strength, S):
        """Of all weights, (p,); for a pair of strengths the matrix (p, p), with a block per model:
        own / S in the directions in which its S weights add up to 0, common / S along their mean.
        """
        common, own = pair(strength)
        if common is None:
            return own / S * self.copies
        block = own / S * np.eye(S) + (common - own) / S**2
        return np.kron(np.diag(self.copies[::S]), block)


def evidence_cost(theta, hessian, posterior_cost, precision, nonnegative):
    """-log Laplace evidence of a strength (MacKay 1992), up to a constant.

    The penalty is a normal prior on w about w0, with this precision: (p,) or a matrix (p, p). With
    H the Hessian of the negative log posterior over the coordinates that the constraint leaves
    free, it is

        -log posterior(theta) + log det(H) / 2 - log det(precision) / 2.
    """
    p, free = len(precision), np.ones(len(theta), dtype=bool)
    free[:p] = theta[:p] > 0 if nonnegative else True
    # Singular where rows are damped to the class shares throughout: intercepts then do nothing.
    log_det = max(np.linalg.slogdet(hessian[np.ix_(free, free)])[1], LEAST_LOG_DET)
    if precision.ndim == 1:
        return posterior_cost + 0.5 * (log_det - np.log(precision[free[:p]]).sum())
    return posterior_cost + 0.5 * (
        log_det - np.linalg.slogdet(precision[np.ix_(free[:p], free[:p])])[1]
    )


def pair(strength):
    """(common, own) of a strength; (None, strength) for a single one."""
    return (None, strength) if np.ndim(strength) == 0 else strength


def mean_strength(strength, S):
    """A strength as one number: the geometric mean over the directions of the S weights of a model."""
    common, own = pair(strength)
    return float(own if common is None else (common * own ** (S - 1)) ** (1 / S))
