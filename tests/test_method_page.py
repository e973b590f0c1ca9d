"""The method, implemented a second time from docs/method.md alone, row by row and with scipy's
minimisers: what the page says is what the package does.
"""

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit, softmax

from cfens_stack import CFEnsemble
from cfens_stack.datasets import make_predictions

E, LAMBDA, STRENGTH = 0.01, 0.01, 10.0


class Page:
    """Two classes, logit link, one strength: the symbols are those of the page."""

    def __init__(self, R, y, v, *, rho=None, gamma=0.0, weigh=False):
        observed = np.isfinite(R)
        n, m = v.sum(), R.shape[1]
        g = self.g(R)
        cells = observed * v[:, None]
        self.mu = np.array([np.sum(cells[:, u] * np.nan_to_num(g[:, u])) for u in range(m)])
        self.mu = self.mu / cells.sum(axis=0)
        deviations = np.where(observed, g - self.mu, 0.0)
        self.s = np.sqrt(np.sum(cells * deviations**2) / cells.sum())
        Z = deviations / self.s
        self.a = self.slopes(Z, observed, y, v)
        self.S, self.psi, G = self.covariance(Z, observed, v)
        completed = [self.complete(z, o) for z, o in zip(Z, observed, strict=True)]
        Zt = np.array([z for z, _ in completed])
        self.m, self.n = m, n
        self.X = self.factors(Zt, n * G, v, self.confidence(R, y, v, rho, observed))
        self.T = self.X @ np.linalg.solve(self.X.T @ self.X + LAMBDA * m * np.eye(m), self.X.T)
        omega = np.array([n / (2 * v[y == k].sum()) for k in (0, 1)]) if weigh else np.ones(2)
        self.aggregate(completed, y, v * omega[y], v, gamma)
        self.omega, self.gamma = omega, gamma

    @staticmethod
    def g(R):
        return np.log((R + E) / (1 - R + E))

    def slopes(self, Z, observed, y, v):
        b0, slopes = logit(np.average(y, weights=v)), []
        for u in range(Z.shape[1]):
            rows = observed[:, u]
            x, label, weight = self.s * Z[rows, u], y[rows], v[rows]

            def cost(ab, x=x, label=label, weight=weight):
                eta = ab[0] * x + ab[1]
                ce = np.logaddexp(0.0, eta) - label * eta
                return weight @ ce + (ab[0] - 1) ** 2 / 2 + (ab[1] - b0) ** 2 / 2

            slopes.append(max(minimize(cost, [1.0, b0], tol=1e-14).x[0], 0.0))
        return np.array(slopes)

    def complete(self, z, o, S=None):
        """(4a) with all confidences 1: the completed row, and its covariance V (m, m)."""
        S = self.S if S is None else S
        u, V = ~o, np.zeros_like(S)
        z = np.where(o, z, 0.0)
        if u.any():
            across = S[np.ix_(u, o)] @ np.linalg.inv(S[np.ix_(o, o)])
            z[u] = across @ z[o]
            V[np.ix_(u, u)] = S[np.ix_(u, u)] - across @ S[np.ix_(o, u)]
        return z, V

    def covariance(self, Z, observed, v):
        """(4b) until it stays where it is; without a missing cell at once."""
        m, n = Z.shape[1], v.sum()
        both = np.array(
            [[v @ (observed[:, i] & observed[:, j]) for i in range(m)] for j in range(m)]
        )
        start = Z.T @ (v[:, None] * Z) / both
        psi = LAMBDA * np.trace(start) / m

        def floored(G):
            G = (n * G + m / 2 * np.trace(G) / m * np.eye(m)) / (n + m / 2)
            values, vectors = np.linalg.eigh(G)
            return vectors @ np.diag(np.maximum(values, psi)) @ vectors.T

        def expected(S):
            total = np.zeros((m, m))
            for z, o, weight in zip(Z, observed, v, strict=True):
                filled, V = self.complete(z, o, S)
                total += weight * (np.outer(filled, filled) + V)
            return total / n

        S = floored(start)
        for _ in range(0 if observed.all() else 400):
            S = floored(expected(S))
        return S, psi, expected(S)

    def confidence(self, R, y, v, rho, observed):
        """The label-aware confidence of completed rows; None for confidence 1 throughout."""
        if rho is None:
            return None
        q = np.where(y[:, None] == 1, R, 1 - R)
        q = q / np.average(q[observed], weights=np.repeat(v, observed.sum(axis=1)))
        c = np.where(observed, rho + (1 - rho) * np.nan_to_num(q), 1.0)
        return c / np.average(c.mean(axis=1), weights=v)

    def factors(self, Zt, nG, v, c):
        """Minimiser X of (1) over X and Y."""
        m, n = self.m, self.n
        if c is None:
            values, vectors = np.linalg.eigh(nG)
            kept = np.maximum(np.sqrt(values) - LAMBDA * np.sqrt(n * m), 0.0)
            return vectors * np.sqrt(kept * np.sqrt(m / n))
        X = self.factors(Zt, nG, v, None) + 1e-3
        for _ in range(3000):
            A = [(X.T * c_i) @ X + LAMBDA * m * np.eye(m) for c_i in c]
            Y = np.array(
                [
                    np.linalg.solve(A_i, X.T @ (c_i * z))
                    for A_i, c_i, z in zip(A, c, Zt, strict=True)
                ]
            )
            before = X
            X = np.array(
                [
                    np.linalg.solve(
                        (Y.T * (v * c[:, u])) @ Y + LAMBDA * n * np.eye(m),
                        Y.T @ (v * c[:, u] * Zt[:, u]),
                    )
                    for u in range(m)
                ]
            )
            if np.abs(X @ X.T - before @ before.T).max() < 1e-12:
                break
        return X

    def kappa(self, V, w):
        wt = self.s * self.T.T @ w
        return 1 / np.sqrt(1 + np.pi / 8 * wt @ V @ wt)

    def damping(self, completed, w):
        kappa = np.array([self.kappa(V, w) for _, V in completed])
        return kappa, (1 - kappa) / (1 - self.kappa(self.S, w))

    def loss(self, eta, y, s, gamma):
        sign = 2 * y - 1
        p_t = expit(sign * eta)
        return s @ ((1 - p_t) ** gamma * np.logaddexp(0.0, -sign * eta)) / s.sum()

    def aggregate(self, completed, y, s, v, gamma):
        m = self.m
        F = self.s * np.array([z for z, _ in completed]) @ self.T.T
        self.beta = minimize_scalar(
            lambda beta: self.loss(np.full(len(y), beta), y, s, gamma), tol=1e-14
        ).x
        kappa, t = self.damping(completed, self.a / m)

        def cost(theta):
            w, b = theta[:m], theta[m]
            eta = kappa * (F @ (self.a * w)) + (1 - t) * b + t * self.beta
            penalty = STRENGTH / (2 * v.sum()) * np.sum((w - 1 / m) ** 2)
            return self.loss(eta, y, s, gamma) + penalty

        start = np.append(np.full(m, 1 / m), self.beta)
        theta = minimize(cost, start, tol=1e-13, options={"gtol": 1e-9}).x
        self.w = self.a * theta[:m]
        kappa, t = self.damping(completed, self.w)
        self.b = theta[m]
        if np.ptp(kappa) > 0:

            def of_b(b):
                return self.loss(kappa * (F @ self.w) + (1 - t) * b + t * self.beta, y, s, gamma)

            self.b = minimize_scalar(of_b, bracket=(self.b - 1, self.b + 1), tol=1e-12).x

    def contributions(self, R):
        """(6b), with the class weights of (7) in the intercept: (n, m) and (n,)."""
        observed, wt, phi = np.isfinite(R), self.s * self.T.T @ self.w, np.zeros(R.shape)
        Z = np.where(observed, (self.g(R) - self.mu) / self.s, 0.0)
        kappa, t = self.damping(
            [self.complete(z, o) for z, o in zip(Z, observed, strict=True)], self.w
        )
        for i, o in enumerate(observed):
            weights = wt[o] + np.linalg.inv(self.S[np.ix_(o, o)]) @ self.S[np.ix_(o, ~o)] @ wt[~o]
            phi[i, o] = kappa[i] * weights * Z[i, o]
        return phi, (1 - t) * self.b + t * self.beta - np.log(self.omega[1] / self.omega[0])

    def predict(self, R):
        observed = np.isfinite(R)
        Z = np.where(observed, (self.g(R) - self.mu) / self.s, 0.0)
        completed = [self.complete(z, o) for z, o in zip(Z, observed, strict=True)]
        kappa, t = self.damping(completed, self.w)
        F = self.s * np.array([z for z, _ in completed]) @ self.T.T
        p1 = expit(kappa * (F @ self.w) + (1 - t) * self.b + t * self.beta)
        P = np.column_stack([1 - p1, p1])
        if self.gamma > 0:
            P = P / (
                (1 - P) ** self.gamma - self.gamma * (1 - P) ** (self.gamma - 1) * P * np.log(P)
            )
        P = P / self.omega
        return (P / P.sum(axis=1, keepdims=True))[:, 1]


CASES = {
    "complete": (0.0, {}, {}),
    "30 % missing": (0.3, {}, {}),
    "label-aware, 20 % missing": (
        0.2,
        {"use_label_aware_confidence": True, "rho": 0.4},
        {"rho": 0.4},
    ),
    "class weights and focal loss": (
        0.2,
        {"use_class_weights": True, "focal_gamma": 1.5},
        {"weigh": True, "gamma": 1.5},
    ),
}


@pytest.mark.parametrize(("missing", "settings", "page"), CASES.values(), ids=CASES)
def test_the_page_is_exact(missing, settings, page):
    data = make_predictions(260, 5, weights=[0.7, 0.3], missing=missing, random_state=3)
    R, y, R_new = data.R[:160], data.y[:160], data.R[160:]
    v = np.random.default_rng(0).uniform(0.5, 2.0, 160)
    settings = {"use_label_aware_confidence": False, "aggregator_reg": STRENGTH} | settings
    meta = CFEnsemble(tol=1e-13, max_iter=5000, **settings).fit(R, y, sample_weight=v)
    second = Page(R, y, v, **page)
    np.testing.assert_allclose(meta.calibration_slopes_, second.a, atol=2e-5)
    np.testing.assert_allclose(meta.encoder_.completion.covariance, second.S, atol=1e-7)
    np.testing.assert_allclose(meta.predict_proba(R_new)[:, 1], second.predict(R_new), atol=1e-6)
    parts, intercept = meta.contributions(R_new, return_intercept=True)
    phi, phi_0 = second.contributions(R_new)
    np.testing.assert_allclose(parts, phi, atol=1e-5)
    np.testing.assert_allclose(intercept, phi_0, atol=1e-5)


class PageOfClasses:
    """K classes, complete predictions, `aggregator_reg="auto"`: (8) and (8a)."""

    def __init__(self, R, y, K):
        self.K, self.m, n = K, R.shape[1] // K, len(R)
        G = self.g(R)
        self.mu = G.mean(axis=0)
        self.s = np.sqrt(np.mean((G - self.mu) ** 2))
        Z = (G - self.mu) / self.s
        a = np.array([self.slope(Z[:, j], y == j % K) for j in range(len(self.mu))])
        q = len(a)
        values, vectors = np.linalg.eigh(Z.T @ Z)
        kept = np.maximum(np.sqrt(np.maximum(values, 0.0)) - LAMBDA * np.sqrt(n * q), 0.0)
        X = vectors * np.sqrt(kept * np.sqrt(q / n))
        T = X @ np.linalg.solve(X.T @ X + LAMBDA * q * np.eye(q), X.T)
        self.turned = self.s * T.T * a  # from z to the calibrated log-ratios that weights multiply
        self.theta = self.average(Z @ self.turned, y)

    def g(self, R):
        logs = np.log(R + E).reshape(len(R), self.m, self.K)
        return (logs - logs.mean(axis=2, keepdims=True)).reshape(len(R), -1)

    def slope(self, z, label):
        x, b0 = self.K / (self.K - 1) * self.s * z, logit(label.mean())

        def cost(ab):
            eta = ab[0] * x + ab[1]
            ce = np.logaddexp(0.0, eta) - label * eta
            return ce.sum() + (ab[0] - 1) ** 2 / 2 + (ab[1] - b0) ** 2 / 2

        return max(minimize(cost, [1.0, b0], tol=1e-14).x[0], 0.0)

    def design(self, F):
        """(n, K, p + K): what each parameter adds to the score of each class."""
        F = F.reshape(len(F), self.m, self.K)
        votes = np.einsum("iuk,kl->iluk", F, np.eye(self.K)).reshape(len(F), self.K, -1)
        ones = np.broadcast_to(np.eye(self.K), (len(F), self.K, self.K))
        return np.concatenate([votes, ones], axis=2)

    def probabilities(self, D, theta):
        return softmax(D @ theta, axis=1)

    def average(self, F, y):
        """Over the pairs, by the Laplace evidence; then b once more."""
        D, K, p = self.design(F), self.K, self.m * self.K
        centre = np.append(np.full(p, 1 / self.m), np.zeros(K))
        costs, thetas = [], []
        for common in (10, 100, 1000, 10_000):
            for own in (10, 100, 1000, 10_000, 100_000):
                mean = np.full((K, K), 1 / K)
                precision = np.zeros((p + K, p + K))
                block = (common * mean + own * (np.eye(K) - mean)) / K
                precision[:p, :p] = np.kron(np.eye(self.m), block)
                theta, cost, hessian = self.posterior(D, y, centre, precision)
                hessian[p:, p:] += 1.0  # along the constant that changes nothing
                log_det = np.linalg.slogdet(hessian)[1]
                costs.append(cost + (log_det - np.linalg.slogdet(precision[:p, :p])[1]) / 2)
                thetas.append(theta)
        shares = softmax(-np.array(costs))
        theta = shares @ thetas
        assert shares.max() < 0.9
        fixed = np.zeros((p + K, p + K))
        fixed[:p, :p] = 1e12 * np.eye(p)
        return self.posterior(D, y, theta, fixed)[0]

    def posterior(self, D, y, centre, precision):
        """Minimiser, minimum and Hessian of the cross-entropy plus the penalty, by Newton steps."""
        theta = centre
        for _ in range(50):
            P = self.probabilities(D, theta)
            of_truth = D[np.arange(len(y)), y]
            expected = np.einsum("ik,ikp->ip", P, D)
            slope = (expected - of_truth).sum(axis=0) + precision @ (theta - centre)
            hessian = np.einsum("ik,ikp,ikq->pq", P, D, D) - expected.T @ expected + precision
            theta = theta - np.linalg.lstsq(hessian, slope, rcond=1e-15)[0]
        deviation = theta - centre
        log_p = np.log(self.probabilities(D, theta)[np.arange(len(y)), y])
        return theta, deviation @ precision @ deviation / 2 - log_p.sum(), hessian

    def predict(self, R):
        F = (self.g(R) - self.mu) / self.s @ self.turned
        return self.probabilities(self.design(F), self.theta)


def test_the_page_is_exact_with_several_classes():
    data = make_predictions(320, 4, n_classes=3, weights=[0.6, 0.3, 0.1], random_state=1)
    R, y, R_new = data.R[:200], data.y[:200], data.R[200:]
    page = PageOfClasses(R, y, 3)
    meta = CFEnsemble(use_label_aware_confidence=False, tol=1e-13, max_iter=5000).fit(R, y)
    np.testing.assert_allclose(meta.predict_proba(R_new), page.predict(R_new), atol=1e-6)
