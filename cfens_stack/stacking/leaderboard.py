"""Base models beside each other and beside the ensemble: scores, weights, seconds, failures."""

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_consistent_length

from cfens_stack.ensemble.aggregator import column_weights
from cfens_stack.splits import make_splits
from cfens_stack.stacking.base_predictions import codes_of
from cfens_stack.stacking.frames import named_predictions, pandas_for
from cfens_stack.stacking.meta_learner import fit_meta
from cfens_stack.stacking.scoring import N_BLOCKS, RowScorer
from cfens_stack.validation import UNLABELLED

N_META_FOLDS = 5
REFERENCES = ("average", "ensemble")
COLUMNS = (
    "kind",
    "score",
    "low",
    "high",
    "new_score",
    "weight",
    "slope",
    "missing",
    "fit_seconds",
    "predict_seconds",
    "failures",
)


def class_probabilities(R, n_classes):
    """Predictions of each model as probabilities of all classes: (n, m, K) from the prediction
    matrix.
    """
    if n_classes == 2:
        return np.stack([1 - R, R], axis=2)
    return R.reshape(len(R), -1, n_classes)


def plain_average(R, n_classes):
    """Mean of the models' probabilities where there are any, NaN where there are none: (n, K)."""
    P = class_probabilities(R, n_classes)
    counts = np.isfinite(P).sum(axis=1)
    with np.errstate(invalid="ignore"):
        mean = np.nansum(P, axis=1) / counts
        return mean / mean.sum(axis=1, keepdims=True)


def contender_probabilities(R, m, n_classes, stacked):
    """Probabilities of each model, of the plain average and of the ensemble (NaN where that is
    None): a list of arrays of shape (n, K).
    """
    P = class_probabilities(R, n_classes)
    unknown = np.full((len(R), n_classes), np.nan)
    return [
        *(P[:, u] for u in range(m)),
        plain_average(R, n_classes),
        unknown if stacked is None else stacked,
    ]


def model_weights(meta, m):
    """Weight and calibration slope of each of m models, of K classes the largest in size; NaN for a
    meta-learner that has none.
    """
    meta = getattr(meta, "best_estimator_", meta)
    unknown = np.full(m, np.nan)
    coef = np.atleast_2d(getattr(meta, "coef_", unknown))
    if coef.shape[1] % m:
        return unknown, unknown
    weights = column_weights(column_weights(coef).reshape(m, -1).T)
    slopes = getattr(meta, "calibration_slopes_", None)
    slopes = unknown if slopes is None or len(slopes) % m else slopes.reshape(m, -1)[:, 0]
    return weights, slopes


def missing_shares(R, m):
    """Share of the rows that each of m models has a missing cell in."""
    return np.isnan(R).reshape(len(R), m, -1).any(axis=2).mean(axis=0)


def row_scorer(scoring, y, metadata, classes):
    """A `RowScorer` for the rows of the fit, whose blocks keep classes in proportion and groups
    together.
    """
    counts = np.bincount(y[y != UNLABELLED])
    groups = metadata.get("groups")
    n_blocks = min(N_BLOCKS, counts.max(), len(y) if groups is None else len(np.unique(groups)))
    given = {} if groups is None else {"groups": groups}
    blocks = []
    if n_blocks > 1 and (len(classes) > 2 or counts.min() > 1):
        folds = make_splits(
            int(n_blocks), y[:, None], y, given, classes=classes, seed=0, rare="pass"
        )
        blocks = [test for _, test in folds]
    return RowScorer(scoring, y, classes, metadata.get("sample_weight"), blocks)


def out_of_fold_ensemble(meta, R, y, classes, params, groups):
    """Probabilities of the meta-learner for rows that it was not fitted on: (n, K), NaN where a
    fold could not be fitted.

    Parameters
    ----------
    meta : estimator
        A clone of it is fitted on each of five folds.
    R : ndarray of shape (n, m) or (n, m * K)
    y : ndarray of int, shape (n,)
        Class codes, -1 without a label; rows without one are in every training part.
    params : dict of str to array of length n
        What its `fit` gets besides R and y.
    groups : ndarray of shape (n,) or None
    """
    P = np.full((len(y), len(classes)), np.nan)
    for fitted, test in out_of_fold_fits(meta, R, y, classes, params, groups):
        asked = test[np.isfinite(R[test]).any(axis=1)]
        if len(asked):
            P[asked] = fitted.predict_proba(R[asked])
    return P


def out_of_fold_fits(meta, R, y, classes, params, groups):
    """The meta-learner fitted without each fold, and the rows of that fold, pair by pair; nothing
    for a fold that could not be fitted. Parameters as of `out_of_fold_ensemble`.
    """
    given = {} if groups is None else {"groups": groups}
    counts = np.bincount(y[y != UNLABELLED])
    n_folds = min(N_META_FOLDS, int(counts.max()))
    if n_folds < 2 or (len(classes) == 2 and counts.min() == 1):
        return  # a class cannot be both learnt and held out
    splits = make_splits(n_folds, y[:, None], y, given, classes=classes, seed=0, rare="pass")
    for _, test in splits:
        seen = np.setdiff1d(np.arange(len(y)), test)
        part = {name: np.asarray(values)[seen] for name, values in params.items()}
        try:
            fitted = fit_meta(clone(meta), R[seen], y[seen], classes, part, [])
        except ValueError:
            continue  # a class is held out whole
        yield fitted, test


class LeaderboardMixin(BaseEstimator):
    """The table of a fitted stack."""

    def leaderboard(self, X=None, y=None, scoring=None):
        """Base models, the ensemble, the plain average and the best single model beside each other.

        Out-of-fold scores are of the labelled rows that a model has predictions for; those of the
        ensemble come from clones of the meta-learner, each fitted on four fifths of the rows of
        `oof_`. Models with many missing cells are scored on other rows than the rest.

        Parameters
        ----------
        X : table of shape (n, p), default=None
            Rows that the fit has not seen, for the column `new_score`.
        y : array-like of shape (n,), default=None
            Their labels.
        scoring : str or callable, default=None
            A scorer of scikit-learn for predictions or probabilities; larger is better. One by name
            sees class codes, so that `classes_[1]` is positive; a callable sees labels. None:
            "neg_log_loss".

        Returns
        -------
        table : pandas.DataFrame
            One row for each model, and for "ensemble", "average" and the best single model, sorted
            by score. Columns: `kind`; `score`, with `low` and `high`, the ends of its 95 % interval
            over rows; `new_score` if X is given; `weight` and `slope` (of calibration) in the
            ensemble; `missing`, the share of the rows of `oof_` without its prediction;
            `fit_seconds` and `predict_seconds`, over all fits; `failures`, the number of records in
            `failures_`.

        Raises
        ------
        ValueError
            If y is not given for X, or has a label that the fit has not seen.
        """
        data, classes, names = self._kept_data(), self.classes_, self.model_names_
        pd = pandas_for("leaderboard")
        scorer = row_scorer(scoring, data.y, data.metadata, classes)
        stacked = None
        if hasattr(self.meta_, "predict_proba"):
            meta, params = self._meta_with_params()
            stacked = out_of_fold_ensemble(
                meta, self.oof_, data.y, classes, params, data.metadata["groups"]
            )
        rows = self._notes()
        contenders = contender_probabilities(self.oof_, len(names), len(classes), stacked)
        for row, P in zip(rows, contenders, strict=True):
            row |= dict(zip(("score", "low", "high"), scorer.interval(P), strict=True))
        if X is not None:
            for row, score in zip(rows, self._new_scores(X, y, scoring), strict=True):
                row["new_score"] = score
        best = max(rows[: len(names)], key=lambda row: np.nan_to_num(row["score"], nan=-np.inf))
        rows.append(best | {"name": f"best single ({best['name']})", "kind": "best single"})
        frame = pd.DataFrame(rows).set_index("name")
        order = [column for column in COLUMNS if column in frame]
        return frame[order].sort_values("score", ascending=False, kind="stable", na_position="last")

    def _new_scores(self, X, y, scoring):
        codes = None if y is None else codes_of(y, self.classes_)
        if codes is None:
            raise ValueError(
                "leaderboard(X, y) needs a label of each row, of those that the fit has seen: "
                f"{self.classes_.tolist()}."
            )
        R = self.base_predictions(X)
        check_consistent_length(R, codes)
        stacked = None
        if hasattr(self.meta_, "predict_proba"):
            named = named_predictions(self.meta_, R, self.get_feature_names_out())
            stacked = self.meta_.predict_proba(named)
        contenders = contender_probabilities(R, len(self.model_names_), len(self.classes_), stacked)
        scorer = RowScorer(scoring, codes, self.classes_, None, [])
        return [scorer.interval(P)[0] for P in contenders]

    def _notes(self):
        """What the table says of each contender besides its scores."""
        m = len(self.model_names_)
        weights, slopes = model_weights(self.meta_, m)
        missing = missing_shares(self.oof_, m)
        none_left = np.isnan(self.oof_).all(axis=1).mean()
        totals = {
            "missing": none_left,
            "fit_seconds": sum(self.fit_times_.values()),
            "predict_seconds": sum(self.predict_times_.values()),
            "failures": len(self.failures_),
        }
        models = [
            {
                "name": name,
                "kind": "base model",
                "weight": weights[u],
                "slope": slopes[u],
                "missing": missing[u],
                "fit_seconds": self.fit_times_[name],
                "predict_seconds": self.predict_times_[name],
                "failures": sum(failure.model == name for failure in self.failures_),
            }
            for u, name in enumerate(self.model_names_)
        ]
        return [*models, *({"name": kind, "kind": kind} | totals for kind in REFERENCES)]
