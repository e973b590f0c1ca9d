"""AutoGluon: a line of the ensemble in the predictor's own leaderboard."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from cfens_stack.stacking.leaderboard import out_of_fold_ensemble
from cfens_stack.validation import encode_labels

NAME = "CFEnsemble"


class BoardMixin:
    """Of a `PredictorEnsemble`: how good it is, beside the models of the predictor."""

    predictor: Any
    R_: pd.DataFrame
    y_: pd.Series
    sample_weight_: pd.Series | None
    classes_: np.ndarray
    check_fitted: Callable
    new_ensemble: Callable
    fit_params: Callable

    def leaderboard(self, data=None):
        """AutoGluon's leaderboard with a line "CFEnsemble".

        Parameters
        ----------
        data : DataFrame with labels, or path of a file, default=None
            For the columns of test scores.

        Returns
        -------
        table : DataFrame
            Sorted by score. `score_val` of the line is of rows that the ensemble was not fitted on,
            while AutoGluon scores its weighted ensemble on the rows that it was fitted on.
        """
        self.check_fitted(with_rows=True)
        return with_line(self, data)

    def score_of_unseen(self):
        """The predictor's metric, larger is better, on rows of `R_` that clones of the ensemble were
        not fitted on, five folds: float.
        """
        self.check_fitted(with_rows=True)
        codes = encode_labels(self.y_)[1]
        P = out_of_fold_ensemble(
            self.new_ensemble(), self.R_.to_numpy(), codes, self.classes_, self.fit_params(), None
        )
        return self.score(self.y_, P, self.sample_weight_)

    def score(self, y, P, sample_weight=None):
        """The predictor's metric, larger is better, of probabilities in the order of `classes_`."""
        P = pd.DataFrame(np.asarray(P), index=y.index, columns=self.classes_)
        order = [label for label in self.predictor.class_labels if label in P]
        weighted = sample_weight if self.predictor.weight_evaluation else None
        scores = self.predictor.evaluate_predictions(
            y, P[order], sample_weight=weighted, auxiliary_metrics=False
        )
        return scores[self.predictor.eval_metric.name]


def with_line(stack, data):
    """`predictor.leaderboard(data)` with a line of a fitted `PredictorEnsemble`, sorted by score.

    Its seconds are those of the models that it asks, as AutoGluon states them, and its own.
    """
    predictor = stack.predictor
    table = predictor.leaderboard(data)
    models = table.set_index("model").loc[stack.models_]
    line = {
        "model": NAME,
        "eval_metric": predictor.eval_metric.name,
        "can_infer": True,
        "stack_level": models["stack_level"].max() + 1,
        "fit_order": table["fit_order"].max() + 1,
        "score_val": stack.score_of_unseen(),
        "fit_time_marginal": stack.fit_seconds_,
        "fit_time": models["fit_time"].sum() + stack.fit_seconds_,
    }
    own = _seconds_of(lambda: stack.ensemble_.predict_proba(stack.R_))
    line |= _pred_times(models, own, "val")
    if data is not None:
        from autogluon.tabular import TabularDataset

        frame = data if isinstance(data, pd.DataFrame) else TabularDataset(data)
        line["score_test"] = stack.score(frame[predictor.label], stack.predict_proba(frame))
        line |= _pred_times(models, own * len(frame) / len(stack.R_), "test")
    table.loc[len(table)] = pd.Series(line).reindex(table.columns)
    table = table.infer_objects()
    by = "score_val" if data is None else "score_test"
    return table.sort_values(by, ascending=False, ignore_index=True)


def _pred_times(models, own, of):
    return {
        f"pred_time_{of}": models[f"pred_time_{of}"].sum() + own,
        f"pred_time_{of}_marginal": own,
    }


def _seconds_of(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
