"""A fit over row partitions that need not be on one machine: every step is a sum over partitions.

Column means, scale, confidence, calibration slopes, the spectral start, the normal equations of a
sweep and the derivatives of the aggregator are sums over rows. So the rows stay where they are, and
only sums, whose size does not grow with n, travel.
"""

from functools import partial
from itertools import pairwise

import numpy as np
from sklearn.base import clone

from cfens_stack.ensemble import partition_steps as steps
from cfens_stack.ensemble.aggregator import AggregatorFit, fit_from_sums
from cfens_stack.ensemble.als import (
    CFEnsembleTrainer,
    alternate,
    spectral_start,
    wants_label_aware,
    warn_of_float32,
)
from cfens_stack.ensemble.calibration import base_log_odds, slopes_from_sums
from cfens_stack.ensemble.confidence import calibration_from
from cfens_stack.ensemble.layout import layout_from_sums
from cfens_stack.ensemble.link import means, spread
from cfens_stack.ensemble.posterior import class_weights
from cfens_stack.ensemble.training import (
    Problem,
    Solution,
    aggregator_columns,
    aggregator_loadings,
    link_scale_weights,
)
from cfens_stack.kernels.blocks import one_blas_thread
from cfens_stack.kernels.ridge import finish_sweep
from cfens_stack.validation import encode_labels, row_weights


class InThisProcess:
    """The part of a Dask client's interface that a fit uses, without a cluster."""

    def map(self, function, *iterables):
        return list(map(function, *iterables))

    def gather(self, results):
        return results


class Partitions:
    """Partitions on an engine: functions go to where the rows are, sums come back."""

    def __init__(self, client, handles):
        self.client = client
        self.handles = handles

    def map(self, function, *iterables):
        """New partitions: function(part, ...) of each."""
        return Partitions(self.client, self.client.map(function, self.handles, *iterables))

    def gather(self, function):
        """function(part) of each, here: for small results."""
        return self.client.gather(self.client.map(function, self.handles))

    def sum(self, function):
        """Sum of function(part), a tuple of arrays, over the partitions; added in pairs on the
        engine.
        """
        results = self.client.map(function, self.handles)
        while len(results) > 1:
            odd = results[len(results) - len(results) % 2 :]
            results = [
                *self.client.map(steps.add, results[: len(results) - len(odd) : 2], results[1::2]),
                *odd,
            ]
        return self.client.gather(results)[0]


def fit_partitions(estimator, partitions, y, sample_weight=None, *, client=None):
    """Fit an ALS ensemble on row partitions of the prediction matrix: the fit on all rows, up to
    rounding.

    Parameters
    ----------
    estimator : CFEnsemble(trainer="als") or CFEnsembleTrainer
        Not changed. `confidence` must be one of the named ones.
    partitions : list of array-like of shape (n_k, m), or dask array of shape (n, m)
        R cut into rows. With a client, also a list of its futures. A dask array is cut where its
        row chunks are.
    y : array-like of shape (n,)
        Labels of all rows, missing where unlabelled, as for `CFEnsemble.fit`.
    sample_weight : array-like of shape (n,), default=None
    client : distributed.Client, default=None
        Where the partitions are worked on; anything with `map(function, *iterables)`, whose results
        `map` takes again, and `gather(results)`. None: one after another in this process.

    Returns
    -------
    fitted : estimator
        A fitted clone.

    Raises
    ------
    ValueError
        If the estimator does not train by ALS, `confidence` is a callable, or for the reasons of
        `CFEnsemble.fit`.
    """
    model = clone(estimator)
    with one_blas_thread():
        fit_rows(model, _partitions(partitions, client), y, sample_weight)
    model._warn_unless_converged(stacklevel=3)
    return model


def fit_rows(model, rows, y, sample_weight):
    """`fit_partitions` on `Partitions` of R, in place."""
    _check_settings(model)
    model.classes_, y = encode_labels(y)
    shapes = rows.gather(np.shape)
    ends = np.cumsum([0] + [shape[0] for shape in shapes])
    if ends[-1] != len(y):
        raise ValueError(
            f"The partitions have {ends[-1]} rows, but y has {len(y)} entries: one a row is needed."
        )
    if len({shape[1:] for shape in shapes}) != 1 or len(shapes[0]) != 2:
        raise ValueError(
            f"The partitions have shapes {shapes}: pass two-dimensional ones with the same columns."
        )
    _note_columns(model, shapes[0][1], rows.gather(steps.column_names))
    v = None if sample_weight is None else row_weights(sample_weight, y, y, model.classes_)
    if v is not None:
        model._warn_of_small_weights(y, v, stacklevel=4)
    cut = [slice(*pair) for pair in pairwise(ends)]
    weights = [None if v is None else v[part] for part in cut]
    parts = rows.map(steps.read, [y[part].astype(np.int32) for part in cut], weights)
    parts = _select(model, parts)
    parts, problem = _prepare(model, parts)
    model._store(_train(model, parts, problem))


def _check_settings(model):
    model._validate_params()
    if not isinstance(model, CFEnsembleTrainer) and getattr(model, "trainer", None) != "als":
        raise ValueError(
            f"fit_partitions needs closed-form steps, but {model!r} trains with PyTorch: pass "
            "CFEnsemble(trainer='als')."
        )
    if callable(model.confidence):
        raise ValueError(
            f"confidence={model.confidence!r} is a callable on all of R, which no partition has: "
            "pass 'uniform', 'certainty' or 'calibration'."
        )


def _note_columns(model, n_columns, names):
    model.n_features_in_ = n_columns
    if any(other != names[0] for other in names):
        raise ValueError(
            "The partitions have columns of different names or order: pass the same columns in all."
        )
    if names[0] is not None:
        model.feature_names_in_ = np.asarray(names[0], dtype=object)
    elif hasattr(model, "feature_names_in_"):
        del model.feature_names_in_


def _partitions(partitions, client):
    if hasattr(partitions, "to_delayed"):
        blocks = partitions.rechunk({1: -1}).to_delayed().ravel().tolist()
        handles = (
            [block.compute() for block in blocks] if client is None else client.compute(blocks)
        )
        return Partitions(client or InThisProcess(), handles)
    client = client or InThisProcess()
    return Partitions(client, client.map(steps.identity, partitions))


def _select(model, parts):
    """Layout; then the rows and columns with predictions."""
    if model.strict and parts.sum(steps.outside)[0]:
        raise ValueError("strict=True accepts probabilities in [0, 1], but cells of R lie outside.")
    sums = parts.sum(partial(steps.part_layout_sums, n_classes=len(model.classes_)))
    if not sums[0].any():
        raise ValueError(
            "R has no prediction at all: every cell is NaN, so no model has scored a row."
        )
    model._layout = layout = layout_from_sums(
        sums, model.n_features_in_, len(model.classes_), model.layout
    )
    model.layout_ = layout.kind
    model._check_n_classifiers()
    (observed,) = parts.sum(steps.observed_columns)
    model._layout = layout.keep(model._models_with_predictions(observed[layout.columns] > 0))
    return parts.map(partial(steps.keep, columns=model._layout.columns))


def _prepare(model, parts):
    """Link, centring and confidence, in the partitions; and what the driver knows of the
    problem.
    """
    layout, K = model._layout, len(model.classes_)
    is_score = layout.kind == "scores"
    model._smoothing, model._confidence, model._focal_gamma = (
        model.smoothing,
        model.confidence,
        model.focal_gamma,
    )
    model.link_ = "identity" if is_score else model.link
    link = {"link": model.link_, "smoothing": model.smoothing, "n_outputs": layout.n_outputs}
    parts = parts.map(partial(steps.apply_part_link, **link))
    count, total, mass, v_sum, squared_error, scored = parts.sum(
        partial(steps.first_sums, layout=layout, K=K)
    )
    model._check_classes(mass > 0)
    model.column_means_ = means(count, total)
    model.scale_ = spread(
        count, parts.sum(partial(steps.squares, mu=model.column_means_))[0], model.column_means_
    )
    model._unseen = count == 0
    model._class_weights = (
        class_weights(np.arange(K), mass, K) if model.use_class_weights else np.ones(K)
    )
    calibrated = model.confidence == "calibration" and not is_score
    model._model_confidence = (
        calibration_from(squared_error, scored) if calibrated else np.ones(len(layout.columns))
    )
    confidence = model._cell_confidence
    parts = parts.map(
        partial(steps.centre, mu=model.column_means_, scale=model.scale_, confidence=confidence)
    )
    slopes = model._keep_slopes(
        _slopes(model, parts) if model._calibrates() else np.ones(len(layout.columns))
    )
    cells, total = parts.sum(steps.confidence_sums)
    model._confidence_scale = cells / total
    parts = parts.map(partial(steps.scale_confidence, factor=model._confidence_scale))
    model._ridge_y = float(model.lambda_reg * cells / v_sum)
    problem = Problem(
        R=np.empty((0, len(layout.columns))),
        Z=np.empty((0, len(layout.columns))),
        C=np.empty((0, len(layout.columns))),
        v=mass,  # one row a class, with the weight of its labelled rows
        y=np.arange(K),
        class_weights=model._class_weights,
        mu=model.column_means_,
        scale=model.scale_,
        slopes=slopes,
        ridge_x=float(model.lambda_reg * cells / len(layout.columns)),
        ridge_y=model._ridge_y,
        link=model.link_,
        layout=layout,
        nonnegative=model.nonnegative and not is_score,
    )
    return parts, problem


def _slopes(model, parts):
    layout, unit = model._layout, model._log_odds_unit()
    b0 = base_log_odds(*parts.sum(partial(steps.class_sums, layout=layout)))

    def sums(a, b):
        return parts.sum(partial(steps.calibration_sums, a=a, b=b, layout=layout, unit=unit))

    return slopes_from_sums(sums, b0)


def _train(model, parts, problem):
    """Model factors, then the aggregator: `als.train_als` on sums."""
    warn_of_float32(model)
    if wants_label_aware(problem, model):
        parts = _label_aware(parts, problem, model.rho)
    (gram,) = parts.sum(steps.gram)
    (total,) = parts.sum(steps.training_total)
    exact = all(parts.gather(steps.is_constant))
    rank, ridge_x, ridge_y = min(model.latent_dim, len(gram)), problem.ridge_x, problem.ridge_y

    def one_sweep(X):
        return finish_sweep(
            X, parts.sum(partial(steps.part_sweep_sums, X=X, ridge_y=ridge_y)), ridge_x, ridge_y
        )

    X = spectral_start(gram, rank, ridge_x, ridge_y, exact).astype(model.dtype)
    X, values, converged = alternate(X, one_sweep, total, max_iter=model.max_iter, tol=model.tol)
    fit = _train_aggregator(model, parts, problem, X)
    W, b = link_scale_weights(problem, fit, *aggregator_columns(problem)[:2])
    history = {"reconstruction": np.array(values), "supervision": np.array(fit.history)}
    return Solution(
        X, W, b, fit.aggregator_reg, history, len(values) - 1, converged and fit.converged
    )


def _label_aware(parts, problem, rho):
    """Partitions with the label-aware training confidence, rescaled to mean 1."""
    parts = parts.map(partial(steps.truth, layout=problem.layout))
    cells, total = parts.sum(steps.truth_sums)
    if cells == 0:
        return parts
    parts = parts.map(partial(steps.reweight, factor=cells / total, rho=rho))
    cells, total = parts.sum(steps.training_sums)
    return parts.map(partial(steps.scale_training, factor=cells / total))


def _train_aggregator(model, parts, problem, X):
    source, target, w0, b0 = aggregator_columns(problem)
    if model.aggregator == "mean":
        return AggregatorFit(w0, b0, np.inf, [], True)
    factors = parts.map(partial(steps.labelled_factors, X=X, ridge_y=problem.ridge_y))
    ones = np.ones(len(problem.class_weights))

    def likelihood(V):
        return factors.sum(partial(steps.factor_loss_sums, V=V, class_weights=ones, gamma=0.0))

    def tilted(V):
        return factors.sum(
            partial(
                steps.factor_loss_sums,
                V=V,
                class_weights=problem.class_weights,
                gamma=model.focal_gamma,
            )
        )

    same = model.focal_gamma == 0 and np.all(problem.class_weights == 1)
    return fit_from_sums(
        likelihood,
        likelihood if same else tilted,
        aggregator_loadings(problem, X, source),
        target,
        w0=w0,
        b0=b0,
        aggregator_reg=model.aggregator_reg,
        nonnegative=problem.nonnegative,
        n=problem.v.sum(),
    )
