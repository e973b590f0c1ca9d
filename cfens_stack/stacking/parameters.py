"""The parameters of StackingPipeline as scikit-learn sees them: base models and meta-learner in use,
tags, routing, diagram.
"""

from functools import wraps
from typing import Any

from sklearn.ensemble import StackingClassifier
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from cfens_stack.ensemble.estimators import CFEnsemble
from cfens_stack.labelled_score import LabelledScoreMixin
from cfens_stack.stacking.default_pool import default_estimators
from cfens_stack.stacking.metadata import request_weights
from cfens_stack.stacking.named_estimators import NamedEstimatorsMixin, named

OF_OTHERS = {  # parameters of scikit-learn's stacks, and what to do here
    "final_estimator": "pass it as meta",
    "stack_method": "each model gives the best that it has of predict_proba, decision_function and "
    "predict",
    "passthrough": "the meta-learner sees predictions alone",
    "verbose": "pass progress=True",
}


def explain_foreign_names(init):
    """Name in the error of an unknown parameter what scikit-learn's stacks call it."""

    @wraps(init)
    def checked(self, *args, **params):
        for name, remedy in OF_OTHERS.items():
            if name in params:
                raise TypeError(
                    f"StackingPipeline has no {name}, a parameter of scikit-learn's "
                    f"StackingClassifier: {remedy}."
                )
        init(self, *args, **params)

    return checked


class StackParametersMixin(LabelledScoreMixin, NamedEstimatorsMixin):
    """What follows from the parameters `estimators`, `meta` and `cv`, before any fit."""

    estimators: Any
    meta: Any
    cv: Any

    def set_params(self, **params):
        """Set parameters; `name=estimator` replaces a base model, `name="drop"` leaves it out.

        Where `estimators` or `meta` is None, parameters of the default base models and of the
        default meta-learner can be set too: they then become the parameter.
        """
        for name in OF_OTHERS.keys() & params.keys() - self.get_params().keys():
            raise ValueError(f"StackingPipeline has no {name}: {OF_OTHERS[name]}.")
        if self.meta is None and "meta" not in params and _names_part(params, {"meta"}):
            self.meta = request_weights(CFEnsemble())
        if self.estimators is None and "estimators" not in params:
            pool = default_estimators()
            names = {name for name, _ in pool}
            if _names_part(params, names) or names & params.keys():
                self.estimators = [(name, request_weights(model)) for name, model in pool]
        return super().set_params(**params)

    def get_metadata_routing(self):
        """Routing of sample_weight and groups to base models, meta-learner and splitter; see
        scikit-learn's guide.
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        to_fit = MethodMapping().add(caller="fit", callee="fit")
        router.add(**dict(self._models()), meta=self._new_meta(), method_mapping=to_fit)
        if self._is_prefit():
            return router
        return router.add(
            cv=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split")
        )

    def __sklearn_tags__(self):
        """What one base model copes with, the pipeline does, if its meta-learner takes the others'
        missing cells.
        """
        tags = super().__sklearn_tags__()
        try:
            inputs = [get_tags(model).input_tags for _, model in self._models()]
            meta = get_tags(self._new_meta())
        except (AttributeError, TypeError, ValueError):
            return tags  # a parameter is not valid; fit says so
        one_or_all = any if meta.input_tags.allow_nan else all
        for kind in ("allow_nan", "sparse", "string"):
            found = one_or_all(getattr(tag, kind) for tag in inputs)
            setattr(
                tags.input_tags, kind, found if self.estimators is not None else kind != "sparse"
            )
        tags.classifier_tags.multi_class = (
            meta.classifier_tags is None or meta.classifier_tags.multi_class
        )
        return tags

    def _sk_visual_block_(self):
        return StackingClassifier(
            self._models(), final_estimator=self._new_meta()
        )._sk_visual_block_()

    def _models(self):
        """Base models as (name, estimator); the default pool routes its weights itself."""
        if self.estimators is not None:
            return named(self.estimators, reserved=self.get_params(deep=False))
        return [(name, request_weights(model)) for name, model in default_estimators()]

    def _new_meta(self):
        return self.meta if self.meta is not None else request_weights(CFEnsemble())

    def _is_prefit(self):
        return isinstance(self.cv, str) and self.cv == "prefit"


def _names_part(params, names):
    """Whether a parameter belongs to one of the named parts."""
    return any(key.partition("__")[0] in names for key in params if "__" in key)
