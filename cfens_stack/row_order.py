"""Rows that are matched by position although their names say otherwise."""

from cfens_stack.validation import warn_user


def warn_of_another_order(what, rows, **others):
    """Warn where a pandas object has the row names of `rows` in another order.

    Like scikit-learn, every fit goes by position; with names in another order each row would get
    the label or the weight of another one.

    Parameters
    ----------
    what : str
        What messages call the rows, such as "R".
    rows : array-like of n rows
    **others : array-like of n entries or None
        Labels, weights or groups by the name of their argument.
    """
    names = _names(rows)
    for name, other in others.items():
        own = _names(other)
        if names is None or own is None or len(own) != len(names) or own.equals(names):
            continue
        if own.is_unique and own.isin(names).all():
            warn_user(
                f"{what} and {name} have the same row names in another order, and are matched by "
                f"position. If the names say which rows belong together, pass "
                f"{name}.loc[{what}.index]; else drop the names of one of them, reset_index."
            )


def _names(rows):
    """The index of a pandas object, else None; lists have a method of that name."""
    index = getattr(rows, "index", None)
    return index if hasattr(index, "equals") else None
