"""What the columns of R mean: which model and which class each belongs to, equation (8) of
docs/method.md.
"""

from dataclasses import dataclass, replace

import numpy as np

from cfens_stack.kernels.blocks import blocks
from cfens_stack.validation import warn_user

LAYOUTS = ("auto", "positive", "model-major", "class-major", "scores")
CLASS_ORDERS = ("model-major", "class-major")
# Of probabilities and their sums over classes: float32, or a table with three decimals.
STRAY = 0.1  # share of a column's cells outside [0, 1] up to which it may be a mistake
SUM_TOLERANCE = 1e-3
# Pairs of predictions that sum to 1 before two columns count as the two classes of one model. By
# chance hard labels of two models do in up to half of the rows, other predictions in about .5 %.
ENOUGH_PAIRS = 10


@dataclass(frozen=True)
class Layout:
    """The columns in use and their meaning.

    Attributes
    ----------
    kind : {"positive", "model-major", "scores"}
        After `columns` has been applied: one column per model, K columns per model in class order,
        or columns without a class.
    columns : ndarray of int, shape (q,)
        Columns of R to use, in model-major order.
    n_outputs : int
        Columns per model: 1 or K.
    mirrors : ndarray of int, shape (q,), or None
        Columns of R that repeat what `columns` say, as 1 - r: those of the first of two classes.
    """

    kind: str
    columns: np.ndarray
    n_outputs: int
    mirrors: np.ndarray | None = None

    @property
    def has_all_classes(self):
        """Whether R has a column for each class of a model."""
        return self.n_outputs > 1 or self.mirrors is not None

    def keep(self, models):
        """The same layout for some of the models, a mask of shape (m,)."""
        mirrors = None if self.mirrors is None else self.mirrors[models]
        return replace(
            self, columns=self.columns[np.repeat(models, self.n_outputs)], mirrors=mirrors
        )

    def select(self, R):
        """The columns in use, in their order; R itself where it has them so."""
        is_all = np.array_equal(self.columns, np.arange(R.shape[1]))
        return R if is_all else R[:, self.columns]

    def column_classes(self):
        """Class code that each column in use gives the probability of."""
        if self.n_outputs == 1:
            return np.ones(len(self.columns), dtype=int)
        return np.tile(np.arange(self.n_outputs), len(self.columns) // self.n_outputs)

    def targets(self, y):
        """1 where a row's class is the column's, else 0: ndarray of bool, shape (n, q)."""
        return y[:, None] == self.column_classes()


def find_layout(R, n_classes, layout):
    """The meaning of the columns of R, as stated or as read off the numbers.

    Parameters
    ----------
    R : ndarray of shape (n, m)
        NaN where missing.
    n_classes : int
    layout : {"auto", "positive", "model-major", "class-major", "scores"}
        "auto": values outside [0, 1] make scores, with a warning if only stray cells of some columns
        have them; columns that sum to 1 within every model make K columns per model; else one column
        per model with two classes, and scores, with a warning, with more.

    Returns
    -------
    Layout

    Raises
    ------
    ValueError
        If the layout stated does not fit the number of columns, or "auto" finds two readings, too
        few rows to tell them apart, or some columns far outside [0, 1] beside others within.
    """
    sums = layout_sums(R, n_classes) if layout == "auto" else None
    return layout_from_sums(sums, R.shape[1], n_classes, layout)


def layout_sums(R, n_classes):
    """What a layout is read off; over partitions of the rows, contributions add up.

    Returns
    -------
    observed, outside : ndarray of int, shape (m,)
        Predictions of each column, and those outside [0, 1].
    complete, violated : ndarray of int, shape (2,)
        Predictions of all classes by one model, where columns are read model by model and class by
        class; and those that do not sum to 1.
    """
    m = R.shape[1]
    observed, outside = np.zeros(m, dtype=int), np.zeros(m, dtype=int)
    complete, violated = np.zeros(2, dtype=int), np.zeros(2, dtype=int)
    for rows in blocks(len(R)):
        R_b = R[rows]
        is_observed = np.isfinite(R_b)
        is_complete = is_observed.all()
        observed += len(R_b) if is_complete else is_observed.sum(axis=0)
        is_outside = np.abs(R_b - 0.5) > 0.5 + SUM_TOLERANCE
        if is_outside.any():
            outside += is_outside.sum(axis=0)
        if m % n_classes:
            continue
        for i, parts in enumerate(_class_parts(R_b, n_classes)):
            sums = sum(parts)
            complete[i] += sums.size if is_complete else np.count_nonzero(np.isfinite(sums))
            violated[i] += np.count_nonzero(np.abs(sums - 1.0) > SUM_TOLERANCE)
    return observed, outside, complete, violated


def _class_parts(R, K):
    """The columns of each class, read model by model and class by class, as in `CLASS_ORDERS`."""
    n_models = R.shape[1] // K
    yield [R[:, k::K] for k in range(K)]
    yield [R[:, k * n_models : (k + 1) * n_models] for k in range(K)]


def layout_from_sums(sums, m, K, layout):
    """`find_layout` from the `layout_sums` of all rows, which only "auto" looks at."""
    everything = np.arange(m)
    if layout == "scores":
        return Layout("scores", everything, 1)
    if layout == "positive":
        if K > 2:
            raise ValueError(
                "layout='positive' means one column per model, the probability of the second of "
                f"two classes, but y has {K} classes. Pass K columns per model and "
                "layout='model-major' or 'class-major'."
            )
        return Layout("positive", everything, 1)
    if layout in CLASS_ORDERS:
        if m % K:
            raise ValueError(
                f"layout={layout!r} needs {K} columns per model, one for each class, but R has {m} "
                f"columns, which is not a multiple of {K}."
            )
        return _one_column_per_class(everything, K, layout)
    return _read_layout(sums, K)


def _read_layout(sums, K):
    observed, outside, complete, violated = sums
    m = len(observed)
    everything = np.arange(m)
    if outside.any():
        _question_mixed_columns(observed, outside)
        return Layout("scores", everything, 1)
    readings = []
    if m % K == 0:
        fits = (complete > 0) & (violated == 0)
        readings = [
            _one_column_per_class(everything, K, layout) for layout in np.array(CLASS_ORDERS)[fits]
        ]
        if len(readings) == 2 and m > K:
            raise ValueError(
                f"layout='auto' is ambiguous: the {m} columns sum to 1 for {K} classes both model "
                "by model and class by class. Pass layout='model-major' (the columns of one "
                "model stand together, as scikit-learn passes them) or layout='class-major'."
            )
    if K == 2:
        if not readings:
            _warn_of_nearly_mirrored_columns(complete, violated)
            return Layout("positive", everything, 1)
        _refuse_few_pairs(complete[fits].max())
        pairs = readings[0].columns
        return Layout("positive", pairs[1::2], 1, mirrors=pairs[::2])
    if not readings:
        warn_user(
            f"layout='auto' found no groups of {K} columns that sum to 1 among the {m} columns of "
            "R and takes them for scores without a class. Pass layout='model-major' or "
            "'class-major' if they are probabilities of the classes, or layout='scores' to "
            "confirm.",
        )
        return Layout("scores", everything, 1)
    return readings[0]


def _refuse_few_pairs(n_pairs):
    """A handful of pairs that sum to 1 may be chance; more than two classes need no such check,
    since their columns have no other reading as probabilities.
    """
    if n_pairs < ENOUGH_PAIRS:
        raise ValueError(
            f"layout='auto' is ambiguous: only {n_pairs} pairs of predictions tell whether two "
            "columns are two models or the two classes of one, and they sum to 1, as the two "
            "classes would. Pass layout='positive' if each column is a model of its own, or "
            "'model-major' or 'class-major' if each model has a column for each class."
        )


def _warn_of_nearly_mirrored_columns(complete, violated):
    for c, v in zip(complete, violated, strict=True):
        if c >= ENOUGH_PAIRS and v <= 0.1 * c:
            warn_user(
                f"layout='auto' takes each column of R for a model of its own, although {c - v} of "
                f"{c} pairs of predictions sum to 1, as the two classes of one model would. Pass "
                "layout='model-major' or 'class-major' if each model has a column for each class "
                "(and look at the other rows), or layout='positive' to confirm.",
            )
            return


def _question_mixed_columns(observed, outside):
    """Refuse features or margins among probabilities, which no reading suits; warn where only stray
    cells are outside.
    """
    within = (outside == 0) & (observed > 0)
    if not within.any():
        return
    found = (
        f"{(outside > 0).sum()} of the {len(outside)} columns have values outside [0, 1], the first "
        f"at index {(outside > 0).argmax()}, while {within.sum()} look like probabilities"
    )
    if (outside <= STRAY * observed).all():
        warn_user(
            f"layout='auto' takes all columns of R for scores, because {found}. Look at those values, "
            "or pass layout='scores' to confirm."
        )
        return
    raise ValueError(
        f"layout='auto' does not know what R holds: {found}. If features stand among the "
        "predictions, as under StackingClassifier(passthrough=True), set passthrough=False or put a "
        "ColumnTransformer that selects the predictions before the ensemble with make_pipeline. If "
        "base models give margins (stack_method='decision_function'), let them give probabilities, "
        "as CalibratedClassifierCV does. Pass layout='scores' to take all columns as they are."
    )


def _one_column_per_class(everything, K, layout):
    if layout == "class-major":
        everything = everything.reshape(K, -1).T.ravel()
    return Layout("model-major", everything, K)
