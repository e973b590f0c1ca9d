"""Focal losses of the aggregator, with their derivatives, and what the rows contribute to (2).

======  ==========  ==========================================================================
symbol  shape       meaning
======  ==========  ==========================================================================
scores  (n, S)      S = 1 with the sigmoid (two classes), K with the softmax
Y       (n, d + 1)  instance factors of the labelled rows, with a last column of ones
V       (d + 1, S)  scores are Y V: weights times loadings, and intercepts in the last row
y       (n,)        class codes 0..K-1
s       (n,)        class weight times sample weight, >= 0
gamma   scalar      focal exponent, >= 0; 0 is the cross-entropy
======  ==========  ==========================================================================
"""

import numpy as np
from scipy.special import expit, log_expit, log_softmax

from cfens_stack.kernels.blocks import blocks
from cfens_stack.kernels.logistic import is_compiled, joint_sums

TINY = 1e-300
LOSS_BLOCK_ROWS = 2048  # a product Y' D Y is fastest here, and calls are few


def sigmoid_focal_loss(scores, y, gamma):
    """(1 - p_t)^gamma CE with p = sigmoid(score), and its first two derivatives in the score.

    Parameters
    ----------
    scores : ndarray of shape (n, 1)
    y : ndarray of shape (n,), 0 or 1
    gamma : float, >= 0

    Returns
    -------
    loss : ndarray of shape (n,)
    slope : ndarray of shape (n, 1)
    curvature : ndarray of shape (n, 1, 1)
        Negative for badly misclassified rows if gamma > 0.
    """
    sign = 2.0 * y - 1.0
    u = sign * scores[:, 0]
    if gamma == 0:
        e = np.exp(-np.abs(u))  # one exponential for p, q and log p, exact in the tails
        larger, smaller = 1.0 / (1.0 + e), e / (1.0 + e)
        slope = -sign * np.where(u > 0, smaller, larger)
        return np.log1p(e) - np.minimum(u, 0.0), slope[:, None], (larger * smaller)[:, None, None]
    log_p, p, q = log_expit(u), expit(u), expit(-u)  # p = p_t, q = 1 - p_t, all exact in the tails
    modulation = q**gamma
    # d/du of -q^gamma log p, by p' = p q and q' = -p q: the modulating factor has a derivative too
    # (mistake 5)
    slope = sign * modulation * (gamma * p * log_p - q)
    curvature = modulation * p * (q * (1.0 + 2.0 * gamma) + gamma * log_p * (q - gamma * p))
    return -modulation * log_p, slope[:, None], curvature[:, None, None]


def softmax_focal_loss(scores, y, gamma):
    """(1 - p_t)^gamma CE with p = softmax(scores), and its first two derivatives in the scores.

    With a the derivative in log p_t and e = onehot(y) - p, the slope is a e and the curvature
    -a (diag(p) - p p') + p_t (da / dp_t) e e'.

    Parameters
    ----------
    scores : ndarray of shape (n, K)
    y : ndarray of shape (n,), 0..K-1
    gamma : float, >= 0

    Returns
    -------
    loss : ndarray of shape (n,)
    slope : ndarray of shape (n, K)
    curvature : ndarray of shape (n, K, K)
    """
    n, K = scores.shape
    log_P = log_softmax(scores, axis=1)
    P = np.exp(log_P)
    onehot = np.eye(K)[y]
    log_p, p = log_P[np.arange(n), y], P[np.arange(n), y]
    q = np.maximum(np.sum(P * (1.0 - onehot), axis=1), TINY)  # 1 - p_t without cancellation
    modulation = q**gamma
    a = gamma * p * (log_p / q) * modulation - modulation
    e = onehot * q[:, None] - P * (1.0 - onehot)
    curvature = P[:, :, None] * (np.eye(K) - P[:, None, :]) * -a[:, None, None]
    if gamma > 0:
        slope_of_a = gamma * p * modulation * (log_p / q * (q - (gamma - 1.0) * p) + 2.0) / q
        curvature += slope_of_a[:, None, None] * e[:, :, None] * e[:, None, :]
    return -modulation * log_p, a[:, None] * e, curvature


def loss_sums(V, Y, y, s, gamma, known=None):
    """What the rows contribute to the first term of (2); over partitions of the rows, contributions
    add up.

    Parameters
    ----------
    V : ndarray of shape (d + 1, S)
    Y : ndarray of shape (n, d + 1)
    known : ndarray of shape (S,), default=None
        Weights of one more column of Y, which V does not vary: (6a) has such a part.

    Returns
    -------
    value : float
    slopes : ndarray of shape (d + 1, S)
        Gradient in V.
    curvatures : ndarray of shape (S, S, d + 1, d + 1)
        Hessian in V; blocks [k, l] with k > l are left zero.
    mass : float
        Sum of s.
    """
    if known is not None:
        V = np.vstack([V, known])
        value, slopes, curvatures, mass = loss_sums(V, Y, y, s, gamma)
        return value, slopes[:-1], curvatures[..., :-1, :-1], mass
    size, S = V.shape
    if S == 1 and gamma == 0 and is_compiled(len(Y)):
        value, slopes, hessian = joint_sums(Y, V[:, 0], y, s)
        return value, slopes[:, None], hessian[None, None], s.sum()
    focal_loss = sigmoid_focal_loss if S == 1 else softmax_focal_loss
    value, slopes, curvatures = 0.0, np.zeros((size, S)), np.zeros((S, S, size, size))
    for rows in blocks(len(Y), LOSS_BLOCK_ROWS):
        Y_b, s_b = Y[rows], s[rows]
        loss, slope, curvature = focal_loss(Y_b @ V, y[rows], gamma)
        value += s_b @ loss
        slopes += Y_b.T @ (s_b[:, None] * slope)
        for k in range(S):
            for l in range(k, S):
                curvatures[k, l] += Y_b.T @ (Y_b * (s_b * curvature[:, k, l])[:, None])
    return value, slopes, curvatures, s.sum()
