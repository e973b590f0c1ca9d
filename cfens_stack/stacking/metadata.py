"""Who gets which sample weights and groups in StackingPipeline.fit, with scikit-learn's metadata
routing off and on.
"""

from sklearn import get_config
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.validation import has_fit_parameter

from cfens_stack.stacking.failures import BaseModelWarning
from cfens_stack.validation import warn_user


def request_weights(model):
    """With metadata routing enabled, route sample_weight to a model, or to the last step of a
    pipeline; returns it.
    """
    if get_config()["enable_metadata_routing"]:
        target = model[-1] if isinstance(model, Pipeline) else model
        for part in [model, *model.get_params(deep=True).values()]:
            if hasattr(part, "set_fit_request") and has_fit_parameter(part, "sample_weight"):
                part.set_fit_request(sample_weight=part is target)
    return model


def metadata_for(router, models, metadata):
    """Keyword arguments for the `fit` of each model.

    Parameters
    ----------
    router : estimator
        Its `get_metadata_routing` decides if routing is enabled.
    models : dict of str to estimator
    metadata : dict
        "sample_weight" and "groups", None where there are none.

    Returns
    -------
    fit_params : dict of str to dict
    """
    if get_config()["enable_metadata_routing"]:
        routed = process_routing(router, "fit", **_given(metadata))
        return {name: dict(routed[name]["fit"]) for name in models}
    sample_weight = metadata["sample_weight"]
    if sample_weight is None:
        return {name: {} for name in models}
    arguments = {name: weight_argument(model) for name, model in models.items()}
    unweighted = [name for name, argument in arguments.items() if argument is None]
    if unweighted:
        warn_user(
            f"The fit of {', '.join(map(repr, unweighted))} takes no sample_weight: fitted without.",
            BaseModelWarning,
        )
    return {
        name: {} if argument is None else {argument: sample_weight}
        for name, argument in arguments.items()
    }


def split_metadata(router, metadata):
    """Keyword arguments for the `split` of the splitter; for folds of our own making, the
    groups.
    """
    if get_config()["enable_metadata_routing"] and hasattr(router.cv, "split"):
        return dict(process_routing(router, "fit", **_given(metadata))["cv"]["split"])
    return _given({"groups": metadata["groups"]})


def weight_argument(model):
    """What sample weights are called in `model.fit`: through pipelines "step__sample_weight"; None
    if not taken.
    """
    if has_fit_parameter(model, "sample_weight"):
        return "sample_weight"
    if isinstance(model, Pipeline):
        inner = weight_argument(model.steps[-1][1])
        return inner and f"{model.steps[-1][0]}__{inner}"
    if isinstance(model, GridSearchCV | RandomizedSearchCV):
        return weight_argument(model.estimator)
    return None


def _given(metadata):
    return {name: values for name, values in metadata.items() if values is not None}
