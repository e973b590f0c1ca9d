"""fit_partitions: a fit on rows that need not be on one machine."""

import numpy as np
from sklearn.base import clone

from cfens_stack.ensemble.base import BaseCFEnsemble
from cfens_stack.ensemble.engines import Eager, Partitions
from cfens_stack.ensemble.rows import identity


def fit_partitions(estimator, partitions, y, sample_weight=None, *, client=None):
    """Fit an ensemble on row partitions of the prediction matrix: the fit on all rows, up to
    rounding.

    Parameters
    ----------
    estimator : CFEnsemble, CFEnsembleTrainer or CFEnsemblePyTorchTrainer
        Not changed. `confidence` must be one of the named ones, `instance_factors` "projected".
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
    TypeError
        If the estimator is none of these.
    ValueError
        If the partitions are one array, `confidence` is a callable or instance factors are free, or for the reasons of
        `CFEnsemble.fit`.
    """
    if not isinstance(estimator, BaseCFEnsemble):
        raise TypeError(
            f"estimator={estimator!r} is not fitted on partitions: pass a CFEnsemble, "
            "CFEnsembleTrainer or CFEnsemblePyTorchTrainer."
        )
    if hasattr(partitions, "columns") or (
        isinstance(partitions, np.ndarray) and partitions.ndim == 2
    ):
        raise ValueError(
            f"partitions is one table, of shape {partitions.shape}: pass a list of arrays that R is "
            "cut into, [R] for one."
        )
    return clone(estimator).fit(on_engine(partitions, client), y, sample_weight=sample_weight)


def on_engine(partitions, client):
    """Partitions of R on a client, or here."""
    engine = Eager() if client is None else client
    if hasattr(partitions, "to_delayed"):
        blocks = partitions.rechunk({1: -1}).to_delayed().ravel().tolist()
        handles = (
            [block.compute() for block in blocks] if client is None else client.compute(blocks)
        )
        return Partitions(engine, handles)
    return Partitions(engine, engine.map(identity, partitions))
