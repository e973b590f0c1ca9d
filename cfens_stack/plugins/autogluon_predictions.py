"""AutoGluon: what a fitted TabularPredictor has kept for a stack on top of its models."""

import numpy as np
import pandas as pd

from cfens_stack.stacking.selection import choose, subset_path
from cfens_stack.validation import encode_labels

GONE = (
    "The predictor no longer has {}, which save_space and cache_data=False remove: fit "
    "PredictorEnsemble before save_space."
)


def check_kept(predictor):
    """Refuse what is no classifier, and one without its training data."""
    if predictor.problem_type not in ("binary", "multiclass"):
        raise ValueError(
            f"PredictorEnsemble stacks classifiers; problem_type is {predictor.problem_type!r}."
        )
    if not predictor._trainer.is_data_saved:
        raise ValueError(GONE.format("its training data"))


def choose_models(predictor, names, on_holdout):
    """Names of the models to stack; `names` checked, or for None those of the first level.

    Where a model has been refitted on all rows, the original stands for both.
    """
    able = predictor.model_names(can_infer=True)
    originals = predictor.model_refit_map(inverse=True)
    if names is None:
        first = predictor.model_names(level=1, can_infer=True)
        chosen = [
            m for m in first if m not in originals or not (on_holdout or originals[m] in able)
        ]
        if not chosen:
            raise ValueError(
                "No model of the first level can infer and predicts rows that it was not fitted on."
            )
        return chosen
    unknown = [m for m in names if m not in able]
    if unknown:
        raise ValueError(
            f"Models {unknown} are not among those of the predictor that can infer: {able}."
        )
    seen = [m for m in names if m in originals]
    if seen and on_holdout:
        raise ValueError(
            f"Models {seen} were refitted on the holdout rows too: pass the models they come from."
        )
    return list(names)


def kept_rows(predictor, on_holdout):
    """Labels as they were given, and weights or None: Series of the rows that predictions are kept
    of.
    """
    part, column = "val" if on_holdout else "train", predictor._trainer.sample_weight
    X, y = predictor.load_data_internal(part, return_X=column is not None)
    weights = None if X is None or column not in X else X[column]
    return predictor.transform_labels(y, inverse=True), weights


def kept_predictions(predictor, models, on_holdout):
    """Probabilities of those rows as `predictor.predict_proba_multi` gives them for new ones.

    AutoGluon may have scaled a model by a temperature after the fit (`calibrate`): new rows only,
    what it has kept is not scaled.
    """
    temperatures = {m: predictor._trainer.load_model(m).temperature_scalar for m in models}
    scaled = {m: t for m, t in temperatures.items() if t is not None}
    if on_holdout and scaled:
        X, _ = predictor.load_data_internal("val", return_y=False)
        return predictor.predict_proba_multi(X, models=models, transform_features=False)
    try:
        of_model = predictor.predict_proba_multi(None, models=models)
    except FileNotFoundError as error:
        raise ValueError(GONE.format("out-of-fold predictions")) from error
    for model, temperature in scaled.items():
        of_model[model] = scaled_by(of_model[model], temperature)
    return of_model


def scaled_by(P, temperature):
    """A data frame of probabilities with their logits divided by a temperature (Guo et al. 2017)."""
    from autogluon.core.calibrate.temperature_scaling import apply_temperature_scaling

    with np.errstate(divide="ignore"):  # a probability of 0 stays one
        values = apply_temperature_scaling(P.to_numpy(), temperature, "multiclass")
    return pd.DataFrame(values, index=P.index, columns=P.columns)


def as_matrix(of_model, models, classes):
    """R with named columns; with two classes, only that of the second."""
    if len(classes) == 2:
        return pd.DataFrame({m: of_model[m][classes[1]] for m in models})
    return pd.DataFrame({f"{m}={label}": of_model[m][label] for m in models for label in classes})


def best_models(ensemble, models, R, y, sample_weight, max_models):
    """At most so many of the models, in their order: those with the least log loss of the ensemble
    on rows that it was not fitted on.
    """
    classes, codes = encode_labels(y)
    weights = None if sample_weight is None else sample_weight.to_numpy()
    params = {} if weights is None else {"sample_weight": weights}
    costs = np.ones(len(models))
    path = subset_path(ensemble, R.to_numpy(), codes, classes, params, None, costs, weights)
    return [models[u] for u in choose(path, max_models=max_models, tolerance=0).models]
