"""What the ensemble loses without each base model."""

import numpy as np
from sklearn.base import BaseEstimator, clone

from cfens_stack.stacking.frames import pandas_for
from cfens_stack.stacking.leaderboard import (
    model_weights,
    out_of_fold_ensemble,
    out_of_fold_fits,
    row_scorer,
)


class ImportanceMixin(BaseEstimator):
    """Importance of the base models of a fitted stack."""

    def importance(self, scoring=None, *, refit=True):
        """What the score of the ensemble loses without each base model, out of fold; no base model
        is fitted.

        Models that say the same are each of no importance, since the others replace it: see
        `contributions` for what each does.

        Parameters
        ----------
        scoring : str or callable, default=None
            As in `leaderboard`; None: "neg_log_loss".
        refit : bool, default=True
            Whether the meta-learner is fitted anew without the model, as `select` would do it.
            False: the model is missing at prediction only, as where it fails or is too slow; for
            meta-learners that take missing cells.

        Returns
        -------
        table : pandas.DataFrame
            One row per model, the most important first: `loss` of score, with `low` and `high`, the
            ends of its 95 % interval over rows, and `weight`.
        """
        data, names = self._kept_data(), self.model_names_
        pandas = pandas_for("importance")
        meta, params = self._meta_with_params()
        rest = (data.y, self.classes_, params, data.metadata["groups"])
        scorer = row_scorer(scoring, data.y, data.metadata, self.classes_)
        P = out_of_fold_ensemble(meta, self.oof_, *rest)
        without = (_refitted if refit else _missing)(meta, self.oof_, len(names), *rest)
        rows = [scorer.difference(P, Q) for Q in without]
        table = pandas.DataFrame(rows, columns=["loss", "low", "high"])
        table["weight"] = model_weights(self.meta_, len(names))[0]
        table.index = pandas.Index(names, name="model")
        return table.sort_values("loss", ascending=False, kind="stable")


def _refitted(meta, R, m, *rest):
    """Out-of-fold probabilities of the ensemble of the other models, model by model."""
    blocks = R.reshape(len(R), m, -1)
    for u in range(m):
        others = np.delete(blocks, u, axis=1).reshape(len(R), -1)
        yield (
            np.full((len(R), len(rest[1])), np.nan)
            if m == 1
            else out_of_fold_ensemble(clone(meta), others, *rest)
        )


def _missing(meta, R, m, *rest):
    """Out-of-fold probabilities where one model is missing at prediction, model by model."""
    P = np.full((m, len(R), len(rest[1])), np.nan)
    for fitted, test in out_of_fold_fits(meta, R, *rest):
        for u in range(m):
            hidden = R[test].reshape(len(test), m, -1).copy()
            hidden[:, u] = np.nan
            P[u, test] = fitted.predict_proba(hidden.reshape(len(test), -1))
    return P
