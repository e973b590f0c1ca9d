"""Predictions on disk as TabRepo and TabArena store them."""

import json
from pathlib import Path

import numpy as np

from cfens_stack.plugins.prediction_tables import PredictionTable
from cfens_stack.plugins.table_files import needed


def prediction_matrix(predictions):
    """R (n, m) or (n, m K), model-major, from predictions (m, n) or (m, n, K); with two classes
    only the second.
    """
    P = np.asarray(predictions, dtype=np.float64)
    if P.ndim == 2:
        return P.T
    return P[:, :, 1].T if P.shape[2] == 2 else P.transpose(1, 0, 2).reshape(P.shape[1], -1)


def list_tasks(folder):
    """Folders of the tasks below `folder`, `<dataset>/<fold>`, sorted: those that hold a
    metadata.json. The folder itself is none, whatever it holds.
    """
    return sorted(path.parent for path in Path(folder).glob("*/**/metadata.json"))


def read_task(path, split="val", models=None):
    """Predictions and labels of one task as TabRepo and TabArena store them.

    A task's folder holds metadata.json, the raw arrays pred-val.dat and pred-test.dat of shape (m,
    n) or (m, n, K), and perhaps label-val.csv.zip and label-test.csv.zip.

    Parameters
    ----------
    path : str or path-like
        Such as model_predictions/adult/0; see `list_tasks`.
    split : {"val", "test"}, default="val"
        "val": the out-of-fold predictions, to fit on.
    models : list of str, default=None
        Which, in this order; None: all. The others are not read from disk.

    Returns
    -------
    PredictionTable
        Two classes: one column per model, the probability of class 1. K classes: K columns per
        model, named model=class. `y` is None without a file of labels.

    Raises
    ------
    FileNotFoundError
    ValueError
        Unknown split or model; a metadata.json that cannot be read, or that the files do not fit.
    """
    path = Path(path)
    if split not in ("val", "test"):
        raise ValueError(f"split={split!r}; valid are 'val' and 'test'.")
    if not (path / "metadata.json").is_file():
        raise FileNotFoundError(
            f"{path} holds no metadata.json; list_tasks finds the folders that do."
        )
    stated, shape, dtype = _read_metadata(path, split)
    models = [models] if isinstance(models, str) else list(stated if models is None else models)
    absent = [name for name in models if name not in stated]
    if absent:
        raise ValueError(f"{path} has no predictions of {absent}; it has {stated}.")
    file = path / f"pred-{split}.dat"
    expected = int(np.prod(shape)) * dtype.itemsize
    if file.stat().st_size != expected:
        raise ValueError(
            f"{file} has {file.stat().st_size} bytes; by metadata.json {shape} takes {expected}."
        )
    stored = np.memmap(file, dtype=dtype, mode="r", shape=shape)
    R = prediction_matrix(stored[[stated.index(name) for name in models]])
    names = (
        models
        if R.shape[1] == len(models)
        else [f"{name}={k}" for name in models for k in range(shape[2])]
    )
    return PredictionTable(
        R=R, y=_read_labels(path, split, len(R)), sample_weight=None, folds=None, model_names=names
    )


def _read_metadata(path, split):
    """Names of the models, shape and dtype of the predictions."""
    try:
        metadata = json.loads((path / "metadata.json").read_text(encoding="utf-8"))
        models, shape = list(metadata["models"]), tuple(metadata[f"pred_{split}_shape"])
        dtype = np.dtype(metadata["dtype"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path / 'metadata.json'} does not state models, pred_{split}_shape and dtype: "
            f"{error!r}"
        ) from error
    if dtype.kind != "f" or len(shape) not in (2, 3) or shape[0] != len(models):
        raise ValueError(
            f"{path / 'metadata.json'} states {len(models)} models and predictions of shape "
            f"{shape} and type {dtype}; expected are floats of shape (m, n) or (m, n, K) for m models."
        )
    return models, shape, dtype


def _read_labels(path, split, n):
    path = path / f"label-{split}.csv.zip"
    if not path.is_file():
        return None
    y = needed("pandas").read_csv(path, index_col=0).iloc[:, 0].to_numpy()
    if len(y) != n:
        raise ValueError(f"{path} has {len(y)} labels for {n} rows of predictions.")
    return y
