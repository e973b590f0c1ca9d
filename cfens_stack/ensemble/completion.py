"""Completion: a normal model of the complete row, which fills missing cells and knows how surely.

Rows are z ~ N(0, S), S = L L' + psi I with d factors; S is learnt by EM from what is observed,
without labels (Dempster, Laird, Rubin 1977; probabilistic PCA of Tipping and Bishop 1999; missing
values as in Ilin and Raiko 2010). A sweep needs one sum over the rows, E[z z' | observed] (4a), and
the maximum is an eigendecomposition (4b). Where nothing is missing there is nothing to iterate.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from cfens_stack.kernels import completion as kernel
from cfens_stack.kernels.missing_patterns import merged_moments, second_moments

# Chosen on half of the families and judged on the other (docs/missing.md).
PRIOR_ROWS = 0.5  # per column, of rows whose columns are uncorrelated: without it few rows overfit
STEP = 1.8  # over-relaxation: EM's own step is too short where much is missing
TOLERANCE = 30.0  # times `tol`: relative change of S between sweeps
LEAST_NOISE = 1e-6  # of the mean variance of a column, whatever lambda_reg is


@dataclass(frozen=True, eq=False)
class Completion:
    """A covariance of complete rows, and what fills their missing cells.

    Attributes
    ----------
    covariance : ndarray of shape (q, q)
        S, of centred link-scale predictions.
    noise : float
        psi, its noise part.
    confidence : ndarray of shape (q,)
        Confidence that a filled cell of each column gets: the mean of the observed ones.
    per_cell : bool
        Whether observed cells of one column differ in confidence.
    """

    covariance: np.ndarray
    noise: float
    confidence: np.ndarray
    per_cell: bool

    def fill(self, Z, C):
        """Z (n, q) and C, (q,) or (n, q), of complete rows: filled where C is 0."""
        if C.ndim == 2:
            Z = kernel.complete(Z, C, self.covariance, self.noise)
        return Z, self.filled_confidence(C)

    def fill_with_variance(self, Z, C, B):
        """What `fill` returns, and `excess_variance`, with one factorisation per row for both."""
        variance = None
        if C.ndim == 2:
            Z, variance = kernel.complete_with_variance(Z, C, self.covariance, self.noise, B)
        return Z, self.filled_confidence(C), variance

    def filled_confidence(self, C):
        """C of complete rows."""
        if not self.per_cell:
            return self.confidence
        return C if C.ndim == 1 else np.where(C > 0, C, self.confidence)

    def excess_variance(self, C, B):
        """trace(V_i B) for the covariance V_i of the missing cells of each row: shape (n,)."""
        if C.ndim == 1:
            return None
        return kernel.excess_variance(C, self.covariance, self.noise, B)

    def cell_variance(self, C):
        """Variance of each missing cell given the others, 0 in observed ones: (n, q) or None."""
        if C.ndim == 1:
            return None
        return kernel.cell_variance(C, self.covariance, self.noise)


def learn_completion(rows, latent_dim, lambda_reg, v_sum, *, n_outputs, per_cell, max_iter, tol):
    """Completion of the rows, and what EM saw.

    Parameters
    ----------
    rows : Partitions of Rows
        With Z and C.
    latent_dim : int
        Rank d of S without its noise; at most q.
    lambda_reg : float
        Least noise, a share of the mean variance of the observed cells of a column.
    v_sum : float
        Weight of all rows.
    n_outputs : int
        Columns per model.
    per_cell : bool
        Whether confidence differs between observed cells of a column.

    Returns
    -------
    completion : Completion
    moment : ndarray of shape (q, q)
        sum of v E[z z' | observed].
    changes : list of float
        Relative change of S at each sweep; empty where nothing is missing.
    """
    confidences, groups = zip(*rows.gather(summary), strict=True)
    confidence, groups = column_confidence(confidences), merged_moments(groups)
    is_complete = groups is not None and all((c > 0).all() for c, *_ in groups)
    if is_complete:
        moment = sum(moment for _, moment, _ in groups)
        observed = moment / v_sum
    else:
        products, weights = rows.sum(pairwise_sums)
        observed = products / np.where(weights > 0, weights, 1.0)
    # Noise is a share of what is observed: were it one of G, which contains the noise of filled
    # cells, it would grow from sweep to sweep, without end where lambda_reg is large.
    noise = max(lambda_reg, LEAST_NOISE) * mean_variance(observed, n_outputs)
    prior = partial(regularised, n=v_sum, d=latent_dim, least_noise=noise, n_outputs=n_outputs)
    S, psi = prior(observed)
    changes: list[float] = []
    if not is_complete:

        def expected(S, psi):
            if groups is not None:
                return kernel.expected_moment_of_groups(groups, S, psi)
            return rows.sum(partial(expected_moment_of, S=S, psi=psi))[0]

        for _ in range(max_iter):
            new, psi = prior(expected(S, psi) / v_sum)
            changes.append(float(np.linalg.norm(new - S) / np.linalg.norm(new)))
            if has_converged(changes, tol):
                S = new
                break
            S = clipped(S + STEP * (new - S), psi)
        moment = expected(S, psi)
    return Completion(S, psi, confidence, per_cell), moment, changes


def has_converged(changes, tol):
    """Whether the last sweep of EM, if one was needed, changed S little enough."""
    return not changes or changes[-1] <= TOLERANCE * tol


def column_confidence(parts):
    """Confidence of filled cells, from the `confidence_sums` of the partitions: the mean of the
    observed cells of a column, to the last bit where they are equal; 1 for a column without any.
    Shape (q,).
    """
    count, total, least, largest = np.moveaxis(np.array(parts), 1, 0)
    count, total = count.sum(axis=0), total.sum(axis=0)
    least, largest = least.min(axis=0), largest.max(axis=0)
    mean = total / np.where(count > 0, count, 1.0)
    return np.where(count == 0, 1.0, np.where(least == largest, largest, mean))


def regularised(G, n, d, least_noise, n_outputs=1):
    """S and psi from the mean second moment G of n rows: the minimiser under the prior, of rank d.

    The prior counts as `PRIOR_ROWS` rows per model, of uncorrelated models of equal variance. The
    likelihood is highest for the d largest eigenvalues and one noise variance, the mean of the
    others (Tipping and Bishop 1999, equation 7); at full rank nothing is left to tell the noise, so
    it is `least_noise`.

    The K columns of a model sum to 0 (log-ratios), so each model has K - 1 dimensions and one in
    which nothing happens: the prior is K / (K - 1) (I - 11' / K) for each model, of unit variances,
    and the noise K / (K - 1) times that of a single column. Two classes then get the same in either
    form.
    """
    m, n_models = len(G), len(G) // n_outputs
    inside = directions(m, n_outputs)
    G = inside @ G @ inside  # a filled cell is noisy in all directions
    nu = PRIOR_ROWS * n_models
    G = (n * G + nu * mean_variance(G, n_outputs) * inside) / (n + nu)
    values, E = np.linalg.eigh(G)  # ascending
    psi, empty = least_noise, n_models if n_outputs > 1 else 0
    if d < m - empty:
        psi = max(values[empty : m - d].mean(), psi)
    values = np.where(np.arange(m) >= m - d, np.maximum(values, psi), psi)
    return (E * values) @ E.T, float(psi)


def mean_variance(G, n_outputs):
    """Mean variance of a direction in which something happens; 1 where nothing varies."""
    inside = directions(len(G), n_outputs)
    return float(np.sum(inside * G) / np.trace(inside)) or 1.0


def directions(m, n_outputs):
    """Projection (m, m) on columns that sum to 0 in each model; all with one column per model."""
    K = n_outputs
    return np.kron(np.eye(m // K), np.eye(K) - (1.0 / K if K > 1 else 0.0))


def clipped(S, psi):
    """S with eigenvalues of at least psi, which a long step may miss."""
    values, E = np.linalg.eigh(S)
    return (E * np.maximum(values, psi)) @ E.T


# Steps on the rows of one partition.


def summary(rows):
    """`confidence_sums` and `second_moments`: in one pass."""
    return confidence_sums(rows), second_moments(rows.Z, rows.C, rows.v)


def confidence_sums(rows):
    """Weight of the observed cells of each column, the sum of their confidence, the least and the
    largest: (4, q).
    """
    C, v = rows.C, rows.v
    if C.ndim == 1:
        least = np.where(C > 0, C, np.inf)
        return np.stack([np.full(len(C), v.sum()), v.sum() * C, least, C])
    least = np.min(np.where(C > 0, C, np.inf), axis=0, initial=np.inf)
    return np.stack([v @ (C > 0), v @ C, least, np.max(C, axis=0, initial=0.0)])


def pairwise_sums(rows):
    """`pairwise_moment` of the rows."""
    C = np.broadcast_to(rows.C, rows.Z.shape)
    return kernel.pairwise_moment(rows.Z, C, rows.v)


def expected_moment_of(rows, S, psi):
    """`expected_moment` of the rows."""
    C = np.broadcast_to(rows.C, rows.Z.shape)
    return (kernel.expected_moment(rows.Z, C, rows.v, S, psi),)
