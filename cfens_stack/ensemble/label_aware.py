"""Label-aware confidence, equation (4) of docs/method.md: C (rho + (1 - rho) a q).

q is the probability that a cell gives to its row's own class, and a scales it to mean 1 over the
cells whose truth is known; elsewhere C stays what it is. The result has mean 1 over observed cells.

All that the two scales need is linear in a, so the rows are read once for both and once more to
write the confidence; blocks keep what is made on the way small.
"""

import numpy as np

from cfens_stack.kernels.blocks import blocks


def label_aware_scales(sums, rho):
    """a, and the factor that gives the confidence mean 1, from the `truth_sums` of all rows.

    Where every model that is certain is always wrong, q has no mean to scale by, and a is 0.
    """
    count, total, others, known, true = sums
    scale = count / total if count else 0.0
    if scale == 0.0:
        weight, confidence = others + known
    else:
        weight = others[0] + (known[0] if rho > 0 else true[0])
        confidence = others[1] + rho * known[1] + (1.0 - rho) * scale * true[1]
    return float(scale), float(weight / confidence)


def truth_sums(rows, classes):
    """Sums over one partition, from which `label_aware_scales` are made.

    Parameters
    ----------
    rows : Rows
    classes : ndarray of int, shape (q,)
        Class code of each column.

    Returns
    -------
    count, total : float
        Weight of the cells with q > 0, and the sum of their q.
    others, known, true : ndarray of shape (2,)
        Weight of the cells with C > 0, and the sum of C: of cells whose truth is not known, of those
        where it is, and of those weighted by q.
    """
    count, total, (others, known, true) = 0.0, 0.0, np.zeros((3, 2))
    for block, C, q, is_known in _truths(rows, classes):
        v = rows.v[block]
        positive = q > 0
        weight = v @ positive
        count += weight.sum()
        total += (v @ q).sum()
        if is_known is None:
            known += v.sum() * (C > 0).sum(), v.sum() * C.sum()
            true += weight @ (C > 0), (v @ q) @ C
            continue
        known += np.sum(v @ (is_known & (C > 0))), np.sum(v @ (is_known * C))
        others += np.sum(v @ (~is_known & (C > 0))), np.sum(v @ (~is_known * C))
        true += np.sum(v @ (positive & (C > 0))), np.sum(v @ (q * C))
    return count, total, others, known, true


def label_aware_confidence(rows, classes, rho, scale, factor, dtype="float64"):
    """The confidence of the cells of one partition: (n, q); `scale` and `factor` are
    `label_aware_scales`.
    """
    confidence = np.empty(rows.Z.shape, dtype=dtype)
    for block, C, q, is_known in _truths(rows, classes):
        if scale == 0.0:
            confidence[block] = factor * C
            continue
        q *= (1.0 - rho) * scale
        q += rho
        q *= C
        # A filled cell says nothing of the truth that the observed ones do not.
        confidence[block] = factor * (q if is_known is None else np.where(is_known, q, C))
    return confidence


def _truths(rows, classes):
    """Blocks of rows: slice, C, (q,) or (B, q), q (B, q), 0 where nobody knows the truth, and which
    cells are observed in labelled rows (None: all are, and C is (q,)).
    """
    assert rows.C is not None
    everything = rows.observed is None and rows.C.ndim == 1 and (rows.y >= 0).all()
    for block in blocks(len(rows.R)):
        C, y = rows.C if rows.C.ndim == 1 else rows.C[block], rows.y[block, None]
        q = np.clip(rows.R[block], 0.0, 1.0)
        np.abs(np.subtract(q, y != classes, out=q), out=q)  # r, or 1 - r of another class
        if everything:
            if not C.all():
                q *= C > 0
            yield block, C, q, None
            continue
        known = np.broadcast_to(y >= 0, q.shape)
        if rows.observed is not None:
            known = known & rows.observed[block]
        yield block, C, np.where(known & (C > 0), q, 0.0), known
