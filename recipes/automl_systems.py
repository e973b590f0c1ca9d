"""What `benchmark_automl.py` compares: each system from a table to probabilities, on one core and in
the seconds that it is given.

A system is a class with `imports()`, not timed; `fit(X, y, seconds)`; `predict_proba(X)`, class 1's
probability; and `bytes_on_disk(folder)`.
"""

import os
import time

import joblib
import numpy as np

# In less, AutoGluon's trial of stacking uses up the time and leaves no model at all; it says itself
# to turn it off then.
SECONDS_FOR_DYSTACK = 600


class Stack:
    """`StackingPipeline` on one of the pools; it takes the time that it takes."""

    def __init__(self, preset):
        self.preset = preset

    def imports(self):
        from cfens_stack import CFEnsemble

        if self.preset == "best":
            import catboost  # noqa: F401
            import lightgbm  # noqa: F401
            import xgboost  # noqa: F401
        generator = np.random.default_rng(0)  # compiles what is compiled
        CFEnsemble().fit(generator.random((60, 3)), np.arange(60) % 2)

    def fit(self, X, y, seconds, folder):
        from cfens_stack import StackingPipeline
        from cfens_stack.stacking import default_estimators

        pool = default_estimators(self.preset)
        self.model = StackingPipeline(pool, random_state=0, n_jobs=1).fit(X, y)

    def predict_proba(self, X):
        return self.model.predict_proba(X)[:, 1]

    def bytes_on_disk(self, folder):
        joblib.dump(self.model, folder / "model.joblib")
        return (folder / "model.joblib").stat().st_size

    def notes(self):
        lost = "; ".join(f"{failure.model}: {failure.reason}" for failure in self.model.failures_)
        return f"{len(self.model.model_names_)} models" + (f"; lost {lost}" if lost else "")


class AutoGluon:
    """`TabularPredictor` with a preset, for log loss, in its time limit.

    No worker processes: on one core they are only overhead. Predictions are timed with the models in
    memory.
    """

    def __init__(self, preset):
        self.preset = preset

    def imports(self):
        import catboost  # noqa: F401
        import fastai.tabular.all  # noqa: F401
        import lightgbm  # noqa: F401
        import torch
        import xgboost  # noqa: F401
        from autogluon.tabular import TabularPredictor  # noqa: F401

        torch.set_num_threads(1)

    def fit(self, X, y, seconds, folder):
        from autogluon.tabular import TabularPredictor

        bagged = self.preset != "medium_quality"
        settings = {"ag_args_ensemble": {"fold_fitting_strategy": "sequential_local"}}
        settings["dynamic_stacking"] = seconds > SECONDS_FOR_DYSTACK
        self.model = TabularPredictor(
            label="outcome", eval_metric="log_loss", path=str(folder / "autogluon"), verbosity=0
        ).fit(
            X.assign(outcome=y),
            presets=self.preset,
            time_limit=seconds,
            num_cpus=1,
            num_gpus=0,
            **(settings if bagged else {}),
        )

    def predict_proba(self, X):
        self.model.persist()
        return self.model.predict_proba(X)[1].to_numpy()

    def bytes_on_disk(self, folder):
        return self.model.disk_usage()

    def notes(self):
        return f"{len(self.model.model_names())} models; {self.model.model_best}"

    def predictions_of_models(self, X, y, X_test, y_test):
        """Out-of-fold and test predictions of the models below the ensemble, its own, and weights."""
        if self.preset == "medium_quality":  # no out-of-fold predictions: one holdout
            return None
        names = [
            name
            for name in self.model.model_names(can_infer=True)
            if "WeightedEnsemble" not in name and "_FULL" not in name
        ]
        best = self.model.model_best
        info = self.model.info()["model_info"][best]
        (info, *_) = info.get("children_info", {"": info}).values()
        weights = info.get("model_weights", {})
        return {
            "names": np.array(names),
            "R": np.column_stack([self.model.predict_proba_oof(name)[1] for name in names]),
            "y": y,
            "R_test": np.column_stack(
                [self.model.predict_proba(X_test, model=name)[1] for name in names]
            ),
            "y_test": y_test,
            "ensemble_test": self.model.predict_proba(X_test)[1].to_numpy(),
            "ensemble_weights": np.array([weights.get(name, 0.0) for name in names]),
        }


class Flaml:
    """`flaml.AutoML` for log loss, in its time budget."""

    def imports(self):
        import lightgbm  # noqa: F401
        import xgboost  # noqa: F401
        from flaml import AutoML  # noqa: F401

    def fit(self, X, y, seconds, folder):
        from flaml import AutoML

        self.model = AutoML()
        self.model.fit(
            X_train=X,
            y_train=y,
            task="classification",
            metric="log_loss",
            time_budget=seconds,
            n_jobs=1,
            seed=0,
            verbose=0,
        )

    def predict_proba(self, X):
        return self.model.predict_proba(X)[:, 1]

    def bytes_on_disk(self, folder):
        joblib.dump(self.model.model, folder / "model.joblib")
        return (folder / "model.joblib").stat().st_size

    def notes(self):
        return str(self.model.best_estimator)


class TunedBoosting:
    """`HistGradientBoostingClassifier`, tuned by Optuna on five folds; the last tenth of the time
    is left for the fit on all rows.
    """

    def imports(self):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)

    def fit(self, X, y, seconds, folder):
        import optuna

        end = time.perf_counter() + 0.9 * seconds

        def objective(trial):
            return _cross_validated_loss(self.boosting(trial), X, y, end, trial.number)

        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
        study.enqueue_trial({"learning_rate": 0.1, "max_iter": 100, "max_leaf_nodes": 31})
        study.optimize(objective, timeout=max(end - time.perf_counter(), 0.1))
        self.trials = len(study.trials)
        self.model = self.boosting(study.best_trial).fit(X, y)

    @staticmethod
    def boosting(trial):
        from sklearn.ensemble import HistGradientBoostingClassifier

        if hasattr(trial, "suggest_int"):
            trial.suggest_float("learning_rate", 0.01, 0.3, log=True)
            trial.suggest_int("max_iter", 30, 400, log=True)
            trial.suggest_int("max_leaf_nodes", 3, 63, log=True)
            trial.suggest_int("min_samples_leaf", 5, 100, log=True)
            trial.suggest_float("l2_regularization", 1e-3, 30.0, log=True)
            trial.suggest_float("max_features", 0.2, 1.0)
        return HistGradientBoostingClassifier(
            **trial.params, categorical_features="from_dtype", early_stopping=False, random_state=0
        )

    def predict_proba(self, X):
        return self.model.predict_proba(X)[:, 1]

    def bytes_on_disk(self, folder):
        joblib.dump(self.model, folder / "model.joblib")
        return (folder / "model.joblib").stat().st_size

    def notes(self):
        return f"{self.trials} trials"


def _cross_validated_loss(model, X, y, end, number):
    """Mean log loss over five folds; a trial whose time is over is given up, but for the first."""
    import optuna
    from sklearn.base import clone
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedKFold

    losses = []
    for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(X, y):
        if number > 0 and time.perf_counter() > end:
            raise optuna.TrialPruned
        fitted = clone(model).fit(X.iloc[train], y[train])
        losses.append(log_loss(y[test], fitted.predict_proba(X.iloc[test])))
    return float(np.mean(losses))


SYSTEMS = {
    "fast": Stack("fast"),
    "default": Stack("default"),
    "best": Stack("best"),
    "AutoGluon medium": AutoGluon("medium_quality"),
    "AutoGluon good": AutoGluon("good_quality"),
    "AutoGluon best": AutoGluon("best_quality"),
    "FLAML": Flaml(),
    "tuned boosting": TunedBoosting(),
}


def peak_memory():
    """Bytes that this process, or the largest of its children, held at most."""
    import resource

    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    unit = 1 if os.uname().sysname == "Darwin" else 1024
    return unit * max(resource.getrusage(kind).ru_maxrss for kind in kinds)
