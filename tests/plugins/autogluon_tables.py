"""A small table, and settings with which AutoGluon fits it in seconds."""

import numpy as np
import pandas as pd
from sklearn.datasets import make_classification

MODELS = {
    "LR": {},
    "XT": {"n_estimators": 20, "max_depth": 5},
    "RF": {"n_estimators": 20, "max_depth": 5},
}
BAGGED = {"num_bag_folds": 3, "num_stack_levels": 0, "dynamic_stacking": False} | {
    "ag_args_ensemble": {"fold_fitting_strategy": "sequential_local", "use_child_oof": False}
}


def table(n_classes):
    """Shuffled rows with an index of their own, and labels whose order is not that of their first
    appearance.
    """
    X, y = make_classification(
        360, 6, n_informative=4, n_classes=n_classes, class_sep=1.5, random_state=0
    )
    frame = pd.DataFrame(X, columns=list("abcdef"), index=np.arange(1000, 1360))
    frame["kind"] = np.array(["cat", "bee", "ant"])[y]
    frame = frame.sample(frac=1, random_state=1)
    return frame.iloc[:260], frame.iloc[260:]
