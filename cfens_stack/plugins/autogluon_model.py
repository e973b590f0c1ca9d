"""AutoGluon: CFEnsemble as a model of its second layer. Importing this file imports AutoGluon."""

from autogluon.common.features.types import S_STACK
from autogluon.core.models import AbstractModel

from cfens_stack.ensemble.estimators import CFEnsemble


class CFEnsembleModel(AbstractModel):
    """CFEnsemble on the out-of-fold predictions of the layer below.

    Pass the class as a key of `hyperparameters`, its values being parameters of `CFEnsemble`, or
    register it and use its key "CFENS". AutoGluon bags it like any model: as many ensembles as
    folds, whose probabilities are averaged.

    The first layer skips it. Of what AutoGluon offers to the second, the original features are left
    out, and all models of the first take part, while AutoGluon by itself keeps only the best of
    each family where rows are few: it sets `use_orig_features="never"` and
    `max_base_models_per_type=0`, which `ag_args_ensemble` can override. Original features never
    reach the ensemble.
    """

    ag_key = "CFENS"
    ag_name = "CFEnsemble"
    seed_name = "random_state"
    _supported_problem_types = ["binary", "multiclass"]
    _default_ag_args_ensemble_extra = {"use_orig_features": "never", "max_base_models_per_type": 0}
    _default_auxiliary_params_extra = {
        "get_features_kwargs": {"required_special_types": [S_STACK]},
        "drop_unique": False,  # a constant column has to stay, or the others shift
    }

    def _fit(self, X, y, sample_weight=None, **kwargs):
        layout = "positive" if self.problem_type == "binary" else "model-major"
        self.model = CFEnsemble(**{"layout": layout, **self._get_model_params()})
        self.model.fit(self.preprocess(X, y=y).to_numpy(), y, sample_weight=sample_weight)

    @classmethod
    def _get_default_ag_args(cls):
        return {**super()._get_default_ag_args(), "valid_base": False}


def register():
    """Let AutoGluon know the key "CFENS", in this process; a second call changes nothing."""
    from autogluon.tabular.registry import ag_model_registry

    if not ag_model_registry.exists(CFEnsembleModel):
        ag_model_registry.add(CFEnsembleModel)
