"""Which of two classes counts as positive, and when that is doubtful."""

import numpy as np


def positive_class(pos_label, classes):
    """Place in `classes` of the class that counts as positive: int.

    Parameters
    ----------
    pos_label : object or None
        None: the last of two classes, as in scikit-learn.
    classes : ndarray of shape (K,)

    Raises
    ------
    ValueError
        If it is no class, or there are more than two.
    """
    if pos_label is None:
        return len(classes) - 1
    if len(classes) > 2:
        raise ValueError(
            f"pos_label={pos_label!r} is for two classes, but y has {len(classes)}: leave it at "
            "None."
        )
    found = [place for place, label in enumerate(classes.tolist()) if _is_same(label, pos_label)]
    if not found:
        raise ValueError(
            f"pos_label={pos_label!r} is none of the classes: pass one of {classes.tolist()}, or "
            f"None for {classes.tolist()[-1]!r}."
        )
    return found[0]


def _is_same(label, pos_label):
    """Whether they are equal; an array, of which == says something for each entry, is no label."""
    same = label == pos_label
    return isinstance(same, bool | np.bool_) and bool(same)


def doubtful_positive_class(pos_label, classes, counts, metric):
    """What to warn of if a metric takes a class for positive that nobody named; None if all is
    well.

    Labels 0/1, False/True and -1/1 say which class is positive. Of others the last in order may be
    the common one, and a score such as F1 then looks far better than it is.

    Parameters
    ----------
    pos_label : object or None
    classes : ndarray of shape (2,)
    counts : array-like of shape (2,)
        Rows of each class.
    metric : str
    """
    known = classes.tolist() in ([0, 1], [-1, 1])
    if pos_label is not None or len(classes) != 2 or known or counts[1] <= counts[0]:
        return None
    common, rare = classes.tolist()[1], classes.tolist()[0]
    return (
        f"{metric} takes {common!r} for the positive class, the last in order, though {rare!r} is "
        f"rarer ({counts[0]:g} of {sum(counts):g} rows). Pass pos_label={rare!r} if that is the "
        f"one to find, or pos_label={common!r} to say that this is meant."
    )
