"""What the displays share: the fitted ensemble behind an estimator, names and weights of its
columns, matplotlib.
"""

import numpy as np
from sklearn.utils.validation import check_is_fitted


def ensemble_of(estimator):
    """The fitted `CFEnsemble` or trainer behind a `StackingPipeline` or `CFEnsembleSearch`, and
    names if they say any.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If there is no single ensemble: another meta-learner, or an average of several
        configurations.
    """
    check_is_fitted(estimator)
    names = estimator.get_feature_names_out() if hasattr(estimator, "meta_") else None
    for attribute in ("meta_", "best_estimator_"):
        estimator = getattr(estimator, attribute, estimator)
    if not hasattr(estimator, "classifier_factors_"):
        raise TypeError(
            f"estimator={estimator!r} has no latent factors: pass a fitted CFEnsemble, trainer or "
            "search (with selection='best' or 'one-standard-error'), or a StackingPipeline with "
            "one as its meta-learner."
        )
    return estimator, names


def column_names(ensemble, names):
    """`names`, one a column; None takes `feature_names_in_`, or numbers."""
    m = ensemble.n_features_in_
    if names is None:
        names = getattr(ensemble, "feature_names_in_", range(m))
    if len(names) != m:
        raise ValueError(
            f"names has {len(names)} entries, but the estimator has {m} columns: pass one a column."
        )
    return [str(name) for name in names]


def class_probabilities(ensemble, R):
    """Predictions of the models for each class, NaN where missing.

    Parameters
    ----------
    ensemble : fitted CFEnsemble or trainer
    R : ndarray of shape (n, q)

    Returns
    -------
    P : ndarray of shape (n, m, K)
        m base models; sums to 1 over the classes.

    Raises
    ------
    ValueError
        If the columns are scores.
    """
    layout = ensemble.encoder_.layout
    if layout.kind == "scores":
        raise ValueError(
            "The columns are scores, not probabilities of classes: there is no plain average "
            "to compare."
        )
    P = np.asarray(R, dtype=np.float64)[:, layout.columns].reshape(len(R), -1, layout.n_outputs)
    return np.concatenate([1.0 - P, P], axis=2) if layout.n_outputs == 1 else P


def new_axes(ax):
    """`ax`, or the axes of a new figure; an ImportError that names the extra where matplotlib is
    missing.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "Pictures need matplotlib, which is not installed: pip install 'cfens_stack[plot]'."
        ) from error
    return pyplot.subplots(layout="constrained")[1]
