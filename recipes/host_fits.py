"""What a toolkit's own models predict, and what its own ensemble makes of them: one fit per toolkit,
set and split, kept in `recipes/.cache/hosts`.

A host is a function (X, y, X_test, seed) -> (R, y, R_test, names, and of its own ensemble the
predictions of the test rows and the names of the models that it asks). R holds the predictions that
the toolkit itself makes out of fold, y their labels, in the toolkit's order. Needs the extra
"plugins".
"""

import shutil
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from automl_sets import N_SPLITS, split
from host_pool import pool
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

CACHE = Path(__file__).parent / ".cache" / "hosts"
N_FOLDS = 5
# All of automl_sets with at least 100 positives among at most 5500 rows, the smallest first.
SETS = [
    "affairs",
    "vehicle",
    "births",
    "nhefs",
    "smoking",
    "loan",
    "disability",
    "segment",
    "chile",
    "training",
    "crime",
    "head_injury",
    "email",
    "nwtco",
    "electric",
    "hospital",
    "monica",
    "credit",
    "resume",
    "benefits",
    "doctor",
    "arrests",
    "page_blocks",
]
# AutoGluon's families without its nets: twelve models where CatBoost is installed.
AUTOGLUON = {
    "GBM": [{}, {"extra_trees": True, "ag_args": {"name_suffix": "XT"}}],
    "CAT": {},
    "XGB": {},
    "RF": [
        {"criterion": criterion, "ag_args": {"name_suffix": criterion.title()}}
        for criterion in ("gini", "entropy")
    ],
    "XT": [
        {"criterion": criterion, "ag_args": {"name_suffix": criterion.title()}}
        for criterion in ("gini", "entropy")
    ],
    "KNN": [
        {"weights": weights, "ag_args": {"name_suffix": weights.title()}}
        for weights in ("uniform", "distance")
    ],
    "LR": {},
}
FLAML = {
    "estimator_list": ["lgbm", "xgboost", "rf", "extra_tree", "lrl1"],
    "max_iter": 40,
    "time_budget": 300,  # so that the configurations tried, and not the load, end it
    "metric": "log_loss",
    "n_jobs": 1,
    "verbose": 0,
}


@dataclass
class HostFit:
    """Predictions of one host on one split; positives are 1."""

    R: np.ndarray  # (n, m), probability of a positive, out of fold
    y: np.ndarray  # (n,)
    R_test: np.ndarray  # (n_test, m)
    y_test: np.ndarray  # (n_test,)
    names: np.ndarray  # (m,)
    ensemble_test: np.ndarray  # (n_test,), of the host's own ensemble
    own_names: np.ndarray  # models that the host's own ensemble asks
    seconds: float

    def save(self, path):
        """Whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            np.savez_compressed(file, **asdict(self))
        Path(file.name).replace(path)

    @classmethod
    def load(cls, path):
        with np.load(path) as found:
            return cls(**{name: found[name] for name in cls.__dataclass_fields__})


def path_of(host, name, number):
    return CACHE / f"{host}-{name}-{number}.npz"


def host_fit(host, name, number):
    """From the cache, or fitted now."""
    path = path_of(host, name, number)
    if not path.is_file():
        X, X_test, y, y_test = split(name, number)
        X, X_test = X.reset_index(drop=True), X_test.reset_index(drop=True)
        start = time.perf_counter()
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the toolkits warn of
            R, y, R_test, names, ensemble_test, own_names = HOSTS[host](X, y, X_test, number)
        seconds = time.perf_counter() - start
        HostFit(
            R, y, R_test, y_test, np.array(names), ensemble_test, np.array(own_names), seconds
        ).save(path)
    return HostFit.load(path)


def tasks(hosts=None, sets=None, n_splits=N_SPLITS):
    """(host, set, split), all hosts of the first split first."""
    return [
        (host, name, number)
        for number in range(n_splits)
        for name in sets or SETS
        for host in hosts or HOSTS
    ]


def autogluon(X, y, X_test, seed):
    """Bagged models, and the weighted ensemble that AutoGluon selects by log loss."""
    from autogluon.tabular import TabularPredictor

    from cfens_stack.plugins.autogluon import PredictorEnsemble

    folder = tempfile.mkdtemp()
    try:
        predictor = TabularPredictor("label", path=folder, eval_metric="log_loss", verbosity=0)
        predictor.fit(
            X.assign(label=y),
            hyperparameters=AUTOGLUON,
            num_bag_folds=N_FOLDS,
            num_bag_sets=1,
            num_stack_levels=0,
            dynamic_stacking=False,
            num_cpus=1,
            num_gpus=0,
            ag_args_ensemble={"fold_fitting_strategy": "sequential_local"},
        )
        stack = PredictorEnsemble(predictor).fit()
        R, y = stack.R_.to_numpy(), stack.y_.to_numpy()
        of_model = predictor.predict_proba_multi(X_test, models=stack.models_)
        R_test = np.column_stack([of_model[model][1] for model in stack.models_])
        best = predictor.model_names(level=2)[0]
        own = predictor.info()["model_info"][best]["stacker_info"]["base_model_names"]
        return R, y, R_test, stack.models_, predictor.predict_proba(X_test, model=best)[1], own
    finally:
        shutil.rmtree(folder)


class Recorder(LogisticRegression):
    """The final estimator that the toolkits take by default; keeps what it was given."""

    def fit(self, X, y, sample_weight=None):
        self.R_, self.y_ = np.asarray(X, dtype=float), np.asarray(y)
        return super().fit(X, y, sample_weight)

    def predict_proba(self, X):
        self.R_test_ = np.asarray(X, dtype=float)
        return super().predict_proba(X)


def scikit_learn(X, y, X_test, seed):
    """`StackingClassifier` as it is: logistic regression on probabilities, five folds."""
    models = pool(seed)
    stack = StackingClassifier(models, final_estimator=Recorder()).fit(X, y)
    own = stack.predict_proba(X_test)[:, 1]
    return recorded(stack.final_estimator_, [name for name, _ in models], own)


def mlxtend(X, y, X_test, seed):
    """`StackingCVClassifier` on probabilities, with logistic regression; two folds, its default."""
    from mlxtend.classifier import StackingCVClassifier

    names, models = zip(*pool(seed), strict=True)
    stack = StackingCVClassifier(list(models), Recorder(), use_probas=True, random_state=seed)
    own = stack.fit(X, y).predict_proba(X_test)[:, 1]
    return recorded(stack.meta_clf_, list(names), own, slice(1, None, 2))


def flaml(X, y, X_test, seed):
    """The best configuration of each learner, and FLAML's own stack: logistic regression, with the
    features beside the probabilities where none of them is categorical.
    """
    from flaml import AutoML

    automl = AutoML()
    automl.fit(
        X, y, task="classification", ensemble={"final_estimator": Recorder()}, seed=seed, **FLAML
    )
    own = automl.predict_proba(X_test)[:, 1]
    names = [name for name, _ in automl.model.estimators]
    return recorded(automl.model.final_estimator_, names, own, slice(len(names)))


def recorded(final, names, own, columns=slice(None)):
    return final.R_[:, columns], final.y_, final.R_test_[:, columns], names, own, names


HOSTS = {
    "AutoGluon": autogluon,
    "scikit-learn": scikit_learn,
    "mlxtend": mlxtend,
    "FLAML": flaml,
}
