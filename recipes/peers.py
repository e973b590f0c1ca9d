"""How people combine base models today: what the recipes compare CFEnsemble with, for two and more
classes.

A peer is a function (P, y, P_test) -> (probabilities of the training rows, of the test rows), each
of shape (n, K). P has shape (n, m, K), the probabilities that m base models give to K classes,
without missing cells; y holds class codes.
"""

from functools import partial

import numpy as np
from lightgbm import LGBMClassifier
from scipy.optimize import nnls
from scipy.special import softmax
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import average_precision_score, log_loss

CLIP = 0.01  # of the logit link, as in CFEnsemble
LOWEST = 1e-3  # greedy, NNLS and single models give exact zeros, whose log loss would be infinite


def plain_average(P, y, P_test):
    return P.mean(axis=1), P_test.mean(axis=1)


def best_single(P, y, P_test):
    """The model with the best average precision on the training rows; with several classes, the
    best log loss.
    """
    if P.shape[2] == 2:
        best = max(range(P.shape[1]), key=lambda u: average_precision_score(y, P[:, u, 1]))
    else:
        best = min(
            range(P.shape[1]), key=lambda u: log_loss(y, bounded(P[:, u]), labels=range(P.shape[2]))
        )
    return P[:, best], P_test[:, best]


def stacker(classifier, features):
    """A scikit-learn classifier on the predictions."""

    def combine(P, y, P_test):
        fitted = classifier(y).fit(features(P), y)
        return fitted.predict_proba(features(P)), fitted.predict_proba(features(P_test))

    return combine


def probabilities(P):
    """One column a model for two classes, K for more, as scikit-learn's StackingClassifier passes
    them.
    """
    return P[:, :, 1] if P.shape[2] == 2 else P.reshape(len(P), -1)


def logits(P):
    p = np.clip(probabilities(P), CLIP, 1 - CLIP)
    return np.log(p) - np.log1p(-p)


def cross_validated_logistic(y):
    folds = int(min(5, np.bincount(y).min()))
    return LogisticRegressionCV(
        l1_ratios=[0.0], cv=folds, scoring="neg_log_loss", use_legacy_attributes=False
    )


def weighted(weights):
    """A convex combination of the models, with weights(P, y)."""

    def combine(P, y, P_test):
        w = weights(P, y)
        w = w / w.sum() if w.sum() > 0 else np.full(len(w), 1 / len(w))
        return np.einsum("imk,m->ik", P, w), np.einsum("imk,m->ik", P_test, w)

    return combine


def super_learner_weights(P, y):
    """Non-negative least squares on the indicators of the classes (van der Laan, Polley, Hubbard
    2007).
    """
    target = np.eye(P.shape[2])[y]
    return nnls(P.transpose(0, 2, 1).reshape(-1, P.shape[1]), target.ravel())[0]


def greedy_weights(P, y, loss, rounds=50):
    """Ensemble selection with replacement (Caruana et al. 2004), auto-sklearn's default: 50 rounds,
    no bagging.
    """
    S = loss.columns(P, y)
    counts, total = np.zeros(S.shape[1]), np.zeros(len(S))
    for size in range(1, rounds + 1):
        chosen = loss((total[:, None] + S) / size, y).argmin()
        counts[chosen] += 1
        total += S[:, chosen]
    return counts


def bagged_greedy_weights(P, y, loss, bags=20, share=0.5, rounds=25):
    """Ensemble selection in bags of half of the models (Caruana et al. 2006; auto-sklearn's
    `bagging=True`).
    """
    rng = np.random.default_rng(0)
    counts = np.zeros(P.shape[1])
    for _ in range(bags):
        bag = rng.choice(P.shape[1], max(1, round(share * P.shape[1])), replace=False)
        counts[bag] += greedy_weights(P[:, bag], y, loss, rounds)
    return counts


class NegativeLogProbability:
    """Log loss of each column of probabilities of the true class."""

    @staticmethod
    def columns(P, y):
        return P[np.arange(len(y)), :, y]

    def __call__(self, S, y):
        return -np.log(np.maximum(S, LOWEST)).mean(axis=0)


class NegativeAveragePrecision:
    """Minus the average precision of each column of probabilities of class 1; two classes."""

    @staticmethod
    def columns(P, y):
        return P[:, :, 1]

    def __call__(self, S, y):
        positive, negative = np.sort(S[y == 1], axis=0), np.sort(S[y == 0], axis=0)
        return np.array(
            [-_average_precision(p, n) for p, n in zip(positive.T, negative.T, strict=True)]
        )


def _average_precision(positive, negative):
    """Mean over positives of the precision at their score; both sorted."""
    hits = len(positive) - np.searchsorted(positive, positive)
    false_alarms = len(negative) - np.searchsorted(negative, positive)
    return np.mean(hits / (hits + false_alarms))


def cma_es_weights(P, y, generations=100):
    """Softmax weights by CMA-ES on the log loss; Purucker and Beel (2023) give the method and its
    start.
    """
    from cmaes import CMA

    S, loss, m = NegativeLogProbability.columns(P, y), NegativeLogProbability(), P.shape[1]
    optimizer, best = CMA(mean=np.zeros(m), sigma=0.2, seed=0), (np.inf, np.zeros(m))
    for _ in range(generations):
        X = np.array([optimizer.ask() for _ in range(optimizer.population_size)])
        losses = loss(S @ softmax(X, axis=1).T, y)
        optimizer.tell(list(zip(X, losses, strict=True)))
        best = min(best, (losses.min(), X[losses.argmin()]), key=lambda pair: pair[0])
        if optimizer.should_stop():
            break
    return softmax(best[1])


def bounded(P):
    """Probabilities in [LOWEST, 1 - LOWEST], rows summing to 1."""
    P = np.clip(P, LOWEST, 1 - LOWEST)
    return P / P.sum(axis=1, keepdims=True)


LOG_LOSS, AVERAGE_PRECISION = NegativeLogProbability(), NegativeAveragePrecision()
PEERS = {
    "plain average": plain_average,
    "best single model": best_single,
    "logistic, probabilities": stacker(lambda y: LogisticRegression(), probabilities),
    "logistic, logits, CV": stacker(cross_validated_logistic, logits),
    "logistic, balanced": stacker(
        lambda y: LogisticRegression(class_weight="balanced"), probabilities
    ),
    "super learner": weighted(super_learner_weights),
    "greedy, log loss": weighted(partial(greedy_weights, loss=LOG_LOSS)),
    "greedy, log loss, bagged": weighted(partial(bagged_greedy_weights, loss=LOG_LOSS)),
    "greedy, AP, bagged": weighted(partial(bagged_greedy_weights, loss=AVERAGE_PRECISION)),
    "CMA-ES": weighted(cma_es_weights),
    "LightGBM": stacker(
        lambda y: LGBMClassifier(n_jobs=1, verbose=-1, random_state=0), probabilities
    ),
    "random forest": stacker(
        lambda y: RandomForestClassifier(100, min_samples_leaf=5, random_state=0), probabilities
    ),
}
TWO_CLASSES_ONLY = {"greedy, AP, bagged"}
