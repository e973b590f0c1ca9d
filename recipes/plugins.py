"""Does CFEnsemble run inside the toolkits that people already use, and what happens to the log loss
there?

On generated data with one positive in eight, each toolkit of the extra "plugins" stacks the same kind
of models twice: with its own final estimator, or what its users commonly take, and with CFEnsemble.
Then a fitted ensemble goes through the formats that carry it elsewhere. Toolkits that are not
installed are named and left out. One data set does not show which is better (docs/evidence.md
does), only that they work together. Prints a table; takes one to two minutes.
"""

import argparse
import logging
import tempfile
import time
import warnings
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pandas as pd
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB

from cfens_stack import CFEnsemble

MODELS = [
    ("logistic", LogisticRegression(max_iter=1000)),
    ("bayes", GaussianNB()),
    ("forest", RandomForestClassifier(n_estimators=100, min_samples_leaf=5, random_state=0)),
]
BAGGED = {
    "num_bag_folds": 5,
    "num_stack_levels": 1,
    "dynamic_stacking": False,
    "num_cpus": 1,
    "num_gpus": 0,
}
SEQUENTIAL = {"fold_fitting_strategy": "sequential_local"}


def main():
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    warnings.simplefilter("ignore")  # what the toolkits warn of
    logging.disable(logging.WARNING)
    X, y = make_classification(
        2000, 12, n_informative=6, weights=[0.88], flip_y=0.05, random_state=0
    )
    data = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
    print(
        pd.DataFrame(combined(data)).to_string(index=False, float_format="{:.4f}".format, na_rep="")
    )
    print()
    if formats := list(carried(*data)):
        print(pd.DataFrame(formats).to_string(index=False))


def combined(data):
    """One row per toolkit: held-out log loss of its own final estimator and of CFEnsemble."""
    for toolkit, run in {
        "scikit-learn": sklearn,
        "mlxtend": mlxtend,
        "flaml": flaml,
        "autogluon.tabular": autogluon,
    }.items():
        if (found := installed(toolkit)) is None:
            continue
        start = time.perf_counter()
        rows = run(*data)
        seconds = (time.perf_counter() - start) / len(rows)
        for way, (own, ours) in rows.items():
            yield {
                "toolkit": f"{toolkit} {found}",
                "way": way,
                "its own": own,
                "CFEnsemble": ours,
                "seconds": seconds,
            }


def installed(toolkit):
    """Version, or None after a line that says so."""
    try:
        return version(toolkit)
    except PackageNotFoundError:
        print(f"{toolkit} is not installed: pip install 'cfens-stack[plugins]'")
        return None


def sklearn(X, X_test, y, y_test):
    losses = []
    for final in (LogisticRegression(), CFEnsemble()):
        stack = StackingClassifier(MODELS, final_estimator=final).fit(X, y)
        losses.append(log_loss(y_test, stack.predict_proba(X_test)))
    return {"StackingClassifier, logistic regression": losses}


def mlxtend(X, X_test, y, y_test):
    from mlxtend.classifier import StackingCVClassifier

    models, losses = [model for _, model in MODELS], []
    for final in (LogisticRegression(), CFEnsemble()):
        stack = StackingCVClassifier(models, final, use_probas=True, cv=5, random_state=0).fit(X, y)
        losses.append(log_loss(y_test, stack.predict_proba(X_test)))
    return {"StackingCVClassifier, logistic regression": losses}


def flaml(X, X_test, y, y_test):
    from flaml import AutoML

    losses = []
    for ensemble in (True, {"final_estimator": CFEnsemble(), "passthrough": False}):
        automl = AutoML()
        settings = {
            "estimator_list": ["rf", "extra_tree", "lrl1"],
            "max_iter": 9,
            "time_budget": 30,
            "seed": 0,
        }
        settings |= {
            "metric": "log_loss",
            "eval_method": "cv",
            "n_splits": 5,
            "n_jobs": 1,
            "verbose": 0,
        }
        automl.fit(X, y, task="classification", ensemble=ensemble, **settings)
        losses.append(log_loss(y_test, automl.predict_proba(X_test)))
    return {"AutoML, logistic regression and features": losses}


def autogluon(X, X_test, y, y_test):
    """One predictor: afterwards on its first layer, inside its second, and TabArena's interface on
    the same rows.
    """
    from autogluon.core.metrics import log_loss as metric
    from autogluon.core.models.greedy_ensemble.ensemble_selection import EnsembleSelection
    from autogluon.tabular import TabularPredictor

    from cfens_stack.plugins.autogluon import PredictorEnsemble
    from cfens_stack.plugins.autogluon_model import CFEnsembleModel
    from cfens_stack.plugins.tabarena import TabArenaEnsembler

    train, new = pd.DataFrame(X).add_prefix("x"), pd.DataFrame(X_test).add_prefix("x")
    predictor = TabularPredictor("y", path=tempfile.mkdtemp(), eval_metric="log_loss", verbosity=0)
    forests = {"n_estimators": 100, "min_samples_leaf": 5}
    models = {"LR": {}, "RF": forests, "XT": forests, CFEnsembleModel: {}}
    predictor.fit(train.assign(y=y), hyperparameters=models, ag_args_ensemble=SEQUENTIAL, **BAGGED)
    afterwards = PredictorEnsemble(predictor).fit()
    rows = {
        "afterwards, greedy selection": [
            predictor.predict_proba(new, model="WeightedEnsemble_L2"),
            afterwards.predict_proba(new),
        ]
    }
    second = [
        predictor.predict_proba(new, model=name)
        for name in ("RandomForest_BAG_L2", "CFEnsemble_BAG_L2")
    ]
    rows["second layer, random forest"] = second
    P = afterwards.R_.to_numpy().T
    P_new = np.array(
        [
            proba[1]
            for proba in predictor.predict_proba_multi(new, models=afterwards.models_).values()
        ]
    )
    greedy = EnsembleSelection(ensemble_size=40, problem_type="binary", metric=metric)
    greedy.fit(list(P), afterwards.y_.to_numpy())
    ours = TabArenaEnsembler(problem_type="binary").fit(P, afterwards.y_)
    rows["TabArena's interface, greedy selection"] = [
        greedy.predict_proba(P_new),
        ours.predict_proba(P_new),
    ]
    return {way: [log_loss(y_test, proba) for proba in pair] for way, pair in rows.items()}


def carried(X, X_test, y, y_test):
    """One row per format: largest difference of the probabilities of a stack after the way there and
    back.
    """
    stack = StackingClassifier(MODELS, final_estimator=CFEnsemble()).fit(X, y)
    R, expected = stack.transform(X_test), stack.predict_proba(X_test)
    for toolkit, run in {"skops": skops, "skl2onnx": onnx}.items():
        if (found := installed(toolkit)) is not None:
            difference = np.abs(run(stack.final_estimator_, R) - expected).max()
            yield {"format": f"{toolkit} {found}", "largest difference": f"{difference:.0e}"}


def skops(model, R):
    from skops.io import dumps, get_untrusted_types, loads

    file = dumps(model)
    names = get_untrusted_types(data=file)
    return loads(
        file, trusted=[name for name in names if name.startswith("cfens_stack.")]
    ).predict_proba(R)


def onnx(model, R):
    from onnxruntime import InferenceSession
    from skl2onnx import to_onnx

    from cfens_stack.plugins.onnx import register

    register()
    graph = to_onnx(model, R[:1], options={"zipmap": False}, target_opset=18)
    return InferenceSession(graph.SerializeToString()).run(None, {"X": R})[1]


if __name__ == "__main__":
    main()
