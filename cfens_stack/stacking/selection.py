"""As few base models as the answer needs: backward elimination on the prediction matrix."""

from dataclasses import dataclass
from numbers import Real

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_array, check_consistent_length

from cfens_stack.ensemble.aggregator import column_weights
from cfens_stack.ensemble.estimators import CFEnsemble
from cfens_stack.ensemble.layout import ENOUGH_PAIRS, layout_sums
from cfens_stack.ensemble.link import apply_link
from cfens_stack.stacking.leaderboard import out_of_fold_ensemble
from cfens_stack.stacking.meta_learner import fit_meta, stated
from cfens_stack.validation import UNLABELLED, check_groups, encode_labels, filled

SMOOTHING = 0.01
SMALLEST_SLOPE = 1e-3  # a model that predicts the opposite has slope and weight 0
LARGEST_STRENGTH = 1e4  # in place of the infinite one of the plain average
STEP = 20  # above this number of models more than one leaves at a time


@dataclass(frozen=True)
class Subset:
    """Some of the models, and what they are worth together.

    Attributes
    ----------
    models : tuple of int
        Numbers of the models, counted from 0.
    loss : float
        Log loss of the meta-learner on rows that it was not fitted on.
    excess : float
        By how much the loss is above that of the best subset of the path.
    standard_error : float
        Of the excess, over rows.
    cost : float
        Sum of the models' costs.
    """

    models: tuple[int, ...]
    loss: float
    excess: float
    standard_error: float
    cost: float


def select_models(R, y, *, meta=None, costs=None, groups=None, max_models=None):
    """Subsets of the models from all of them to one: each without the models that matter least to
    the one before.

    What a model matters is read off the quadratic model of the loss around the weights of
    `CFEnsemble`, which is fitted anew to each subset (optimal brain surgeon; Hassibi and Stork
    1993). Up to twenty models leave one at a time, of more a tenth at a time.

    Parameters
    ----------
    R : array-like of shape (n, m) or (n, m * K)
        Out-of-fold probabilities, one column per model or K columns per model for K > 2 classes;
        NaN where missing.
    y : array-like of shape (n,)
        Labels; NaN, None and pandas.NA mark rows without one.
    meta : estimator, default=None
        Meta-learner that the subsets are judged by. None: `CFEnsemble()`. If it is of another kind,
        CFEnsemble still decides which model leaves.
    costs : array-like of shape (m,), default=None
        Such as seconds of prediction. The model that leaves is then the one that matters least for
        its cost. None: 1 each.
    groups : array-like of shape (n,), default=None
        Rows of a group are on one side of a fold.
    max_models : int, default=None
        Only subsets of at most this many models are judged, which is most of the work.

    Returns
    -------
    path : list of Subset
        From all models, or from the first subset of at most `max_models`, to one.

    Raises
    ------
    ValueError
        If R, y or costs cannot be used, or max_models is less than 1.

    References
    ----------
    B. Hassibi, D. G. Stork (1993), "Second order derivatives for network pruning: optimal brain
    surgeon".

    Examples
    --------
    >>> from cfens_stack.datasets import make_predictions
    >>> from cfens_stack.stacking import select_models
    >>> data = make_predictions(400, 6, random_state=0)
    >>> [len(subset.models) for subset in select_models(data.R, data.y)]
    [6, 5, 4, 3, 2, 1]
    """
    R = check_array(filled(R), dtype=np.float64, ensure_all_finite="allow-nan", input_name="R")
    classes, codes = encode_labels(y)
    check_consistent_length(R, codes)
    width = 1 if len(classes) == 2 else len(classes)
    if R.shape[1] % width:
        raise ValueError(
            f"R has {R.shape[1]} columns, which is no multiple of the {width} classes: pass K "
            "columns per model for K > 2 classes."
        )
    _refuse_other_predictions(R, len(classes))
    m = R.shape[1] // width
    costs = np.ones(m) if costs is None else np.asarray(costs, dtype=float)
    if costs.shape != (m,) or not (np.isfinite(costs).all() and (costs > 0).all()):
        raise ValueError(f"costs={costs!r}: pass one positive number for each of the {m} models.")
    if max_models is not None and max_models < 1:
        raise ValueError(f"max_models={max_models}: pass an int of at least 1, or None.")
    meta = stated(clone(CFEnsemble() if meta is None else meta), classes)
    groups = check_groups(groups, R)
    return subset_path(meta, R, codes, classes, {}, groups, costs, max_models=max_models)


def _refuse_other_predictions(R, n_classes):
    """ValueError for values that are no probabilities, and for both columns of two classes."""
    _, outside, complete, violated = layout_sums(R, n_classes)
    if outside.any():
        first = R[(np.abs(R - 0.5) > 0.5)][0]
        raise ValueError(
            f"R has {outside.sum()} values outside [0, 1], such as {first:g}: pass probabilities."
        )
    if n_classes == 2 and ((complete >= ENOUGH_PAIRS) & (violated == 0)).any():
        raise ValueError(
            f"The {R.shape[1]} columns of R sum to 1 in pairs, as the two classes of one model do: "
            "pass one column per model, the probability of the second class."
        )


def subset_path(meta, R, y, classes, params, groups, costs, weights=None, max_models=None):
    """`select_models` on class codes.

    Parameters
    ----------
    meta : estimator
    R : ndarray of shape (n, m) or (n, m * K)
    y : ndarray of int, shape (n,)
        Class codes, -1 without a label.
    classes : ndarray of shape (K,)
    params : dict of str to array of length n
        What the `fit` of the meta-learner gets besides R and y.
    groups : ndarray of shape (n,) or None
    costs : ndarray of shape (m,)
    weights : ndarray of shape (n,) or None, default=None
        Of the rows in the loss.
    max_models : int or None, default=None

    Returns
    -------
    path : list of Subset
    """
    if not hasattr(meta, "predict_proba"):
        raise ValueError(
            f"meta={meta!r} has no predict_proba, but subsets are judged by log loss: pass a meta "
            "that has, such as CFEnsemble()."
        )
    m, labelled = len(costs), y != UNLABELLED
    mass = np.ones(labelled.sum()) if weights is None else weights[labelled]
    blocks = R.reshape(len(R), m, -1)
    kept, found = np.arange(m), []
    while len(kept):
        R_kept = blocks[:, kept].reshape(len(R), -1)
        if max_models is None or len(kept) <= max_models:
            P = out_of_fold_ensemble(meta, R_kept, y, classes, params, groups)
            found.append((kept, _row_losses(P[labelled], y[labelled], len(classes))))
        worth = _importance(meta, R_kept, y, classes, params) / costs[kept]
        n_leaving = max(1, len(kept) // 10) if len(kept) > STEP else 1
        if max_models is not None and len(kept) > max_models:
            n_leaving = min(n_leaving, len(kept) - max_models)  # not past the limit
        kept = np.sort(kept[np.argsort(worth, kind="stable")[n_leaving:]])
    best = min((losses for _, losses in found), key=lambda losses: mass @ losses)
    return [
        _subset(kept, losses, losses - best, mass / mass.sum(), costs) for kept, losses in found
    ]


def choose(path, *, max_models=None, max_cost=None, tolerance="1se"):
    """The subset to use: of those within the limits the smallest that is not worse than the best of
    them by more than the tolerance.

    Parameters
    ----------
    path : list of Subset
    max_models : int or None, default=None
    max_cost : float or None, default=None
    tolerance : "1se" or float, default="1se"
        Of the loss; "1se": one standard error of the difference from the best of the path.

    Returns
    -------
    subset : Subset

    Raises
    ------
    ValueError
        If no subset of the path keeps to the limits.
    """
    for name, limit in (("max_models", max_models), ("max_cost", max_cost)):
        if limit is not None and not isinstance(limit, Real):
            raise ValueError(f"{name}={limit!r}: pass a number, or None for no limit.")
    if tolerance != "1se" and not (isinstance(tolerance, Real) and float(tolerance) >= 0):
        raise ValueError(f"tolerance={tolerance!r}: pass '1se' or a number of at least 0.")
    allowed = [
        subset
        for subset in path
        if (max_models is None or len(subset.models) <= max_models)
        and (max_cost is None or subset.cost <= max_cost)
    ]
    if not allowed:
        raise ValueError(
            f"No subset keeps to max_models={max_models!r} and a cost of {max_cost!r}: the "
            f"smallest has {len(path[-1].models)} models and costs {path[-1].cost:.3g}."
        )
    least = min(subset.excess for subset in allowed)
    close = [
        subset
        for subset in allowed
        if subset.excess - least <= (subset.standard_error if tolerance == "1se" else tolerance)
    ]
    return min(close, key=lambda subset: (len(subset.models), subset.excess))


def _subset(kept, losses, excess, mass, costs):
    mean = mass @ excess
    error = float(np.sqrt(((mass * (excess - mean)) ** 2).sum()))
    return Subset(
        tuple(kept.tolist()), float(mass @ losses), float(mean), error, float(costs[kept].sum())
    )


def _row_losses(P, y, n_classes):
    """Log loss of each row; one without a prediction counts as if told the prevalences."""
    prevalence = np.bincount(y, minlength=n_classes) / len(y)
    P = np.where(np.isfinite(P), P, prevalence)
    return -np.log(np.maximum(P[np.arange(len(y)), y], np.finfo(float).tiny))


def _importance(meta, R, y, classes, params):
    """By how much the loss would rise without each model, the others fitted anew: ndarray (m,).

    Read off the quadratic model of the penalised loss at its minimum, with Hessian H in the weights
    in units of the calibrated models: 1/2 w_u' ([H^-1]_uu)^-1 w_u, w_u the weights of model u, one
    for each class (optimal brain surgeon; Hassibi and Stork 1993).
    """
    fitted = fit_meta(clone(meta), R, y, classes, params, [])
    fitted = getattr(fitted, "best_estimator_", fitted)
    if not hasattr(fitted, "calibration_slopes_"):
        fitted = fit_meta(stated(CFEnsemble(), classes), R, y, classes, {}, [])
    n_outputs = 1 if len(classes) == 2 else len(classes)
    slopes = np.maximum(fitted.calibration_slopes_, SMALLEST_SLOPE)
    rows = y != UNLABELLED
    Z = slopes * _centred(apply_link(R[rows], "logit", SMOOTHING, n_outputs))
    P = fitted.predict_proba(R[rows])
    strength = fitted.aggregator_reg_ if np.isfinite(fitted.aggregator_reg_) else LARGEST_STRENGTH
    H = _hessian(Z, P[:, 1:] if n_outputs == 1 else P, strength)
    W = (column_weights(fitted.coef_) / slopes).reshape(-1, n_outputs)
    q, n_columns = W.shape[1], W.size
    inverse = np.linalg.pinv(H, hermitian=True)[:n_columns, :n_columns]
    own = inverse.reshape(-1, q, len(W), q)[np.arange(len(W)), :, np.arange(len(W))]
    return 0.5 * np.einsum("uk,uk->u", W, np.linalg.solve(own, W[:, :, None])[:, :, 0])


def _hessian(Z, P, strength):
    """Of the cross entropy, plus strength times the identity, in weights that each vote for their
    column's class, and in an intercept per class.

    Between columns of classes k and l the rows count p_k (1 - p_k) where k = l, else -p_k p_l.
    """
    n_outputs = P.shape[1]
    A = np.hstack([Z, np.ones((len(Z), n_outputs))])
    of_class = np.arange(A.shape[1]) % n_outputs  # models first, then intercepts, class by class
    H = np.empty((A.shape[1],) * 2)
    for k in range(n_outputs):
        for l in range(n_outputs):
            counts = P[:, k] * ((k == l) - P[:, l])
            block = A[:, of_class == k].T @ (counts[:, None] * A[:, of_class == l])
            H[np.ix_(of_class == k, of_class == l)] = block
    penalised = np.arange(Z.shape[1])
    H[penalised, penalised] += strength
    return H


def _centred(Z):
    """Columns with mean 0 over what is observed, 0 where nothing is."""
    seen = np.isfinite(Z)
    mean = np.where(seen, Z, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    return np.where(seen, Z - mean, 0.0)
