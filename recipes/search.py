"""Which hyperparameters of CFEnsemble suit a table of predictions? CFEnsembleSearch from the
command line.

The table, CSV, Parquet or npz, has one row per instance and one column per base model (out-of-fold
probabilities of the positive class; empty where a model did not score the row), and one column of
labels (empty where unknown). Without a table, predictions of models with correlated errors are
generated, and the result is compared on rows held out.

Writes the fitted model, the table of trials and three pictures (history, slices, importances) to
--out; with several --scoring the Pareto front instead, as a table and a picture.

Examples
--------
    python recipes/search.py                     # a demonstration, about a minute
    python recipes/search.py predictions.csv --label y --trials 100
    python recipes/search.py predictions.csv --scoring average_precision neg_log_loss
    python recipes/search.py predictions.parquet --label y --storage trials.journal

The last command can be interrupted or killed; run again, it continues. Several processes started on
the same --storage share the trials, and each ends with the same result.
"""

import argparse
import warnings
from pathlib import Path

import joblib
import optuna
import pandas as pd
from matplotlib import pyplot
from optuna.visualization.matplotlib import (
    plot_optimization_history,
    plot_param_importances,
    plot_slice,
)
from sklearn.metrics import average_precision_score, log_loss

from cfens_stack import CFEnsemble, CFEnsembleSearch, read_predictions
from cfens_stack.datasets import make_predictions
from cfens_stack.display import ParetoDisplay
from cfens_stack.search.selection import SELECTIONS

PICTURES = {
    "history": plot_optimization_history,
    "slices": plot_slice,
    "importances": plot_param_importances,
}
TRIALS_FOR_PICTURES = 4


def main():
    arguments = parse_arguments()
    R, y, held_out = (
        demonstration() if arguments.table is None else load(arguments.table, arguments.label)
    )
    search = CFEnsembleSearch(
        arguments.trials,
        timeout=arguments.timeout,
        cv=arguments.folds,
        scoring=arguments.scoring[0] if len(arguments.scoring) == 1 else arguments.scoring,
        trainers=arguments.trainers or "auto",
        guide=not arguments.no_guide,
        storage=arguments.storage,
        study_name=None if arguments.new else arguments.name,
        n_jobs=arguments.jobs,
        selection=arguments.selection,
        pos_label=class_named(arguments.pos_label, y),
        show_progress_bar=True,
        random_state=arguments.seed,
    ).fit(R, y)
    print(search.guidance_)
    report(search)
    if held_out is not None:
        compare(search, R, y, *held_out)
    write(search, arguments.out)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "table", nargs="?", type=Path, help="CSV, Parquet or npz; none: a demonstration"
    )
    parser.add_argument(
        "--label", default="y", help="column of labels (default: y); all others are models"
    )
    parser.add_argument("--trials", type=int, default=50, help="total of the study (default: 50)")
    parser.add_argument("--timeout", type=float, help="seconds after which no trial is started")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument(
        "--scoring", nargs="+", default=["average_precision"], help="scikit-learn scorers by name"
    )
    parser.add_argument("--trainers", nargs="+", choices=["als", "pytorch"], help="default: als")
    parser.add_argument(
        "--no-guide", action="store_true", help="search everything, whatever the data look like"
    )
    parser.add_argument(
        "--selection", choices=SELECTIONS, default=SELECTIONS[0], help=f"default: {SELECTIONS[0]}"
    )
    parser.add_argument("--pos-label", help="the positive class (default: the last of two)")
    parser.add_argument(
        "--storage", help="journal file (.journal), sqlite:///file.db or postgresql+psycopg://..."
    )
    parser.add_argument(
        "--name", default="search", help="study to resume or share in the storage (default: search)"
    )
    parser.add_argument(
        "--new", action="store_true", help="start a new study in the storage instead of resuming"
    )
    parser.add_argument("--jobs", type=int, default=1, help="trials at once (default: 1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, default=Path("search_result"), help="folder (default: search_result)"
    )
    return parser.parse_args()


def load(path, label):
    """Predictions and labels of a table."""
    try:
        table = read_predictions(path, label=label)
    except (OSError, ImportError, ValueError) as error:
        raise SystemExit(str(error)) from None
    print(f"{path}: {table}")
    return pd.DataFrame(table.R, columns=table.model_names), table.y, None


def class_named(text, y):
    """The class that is written like this; None for none."""
    found = [label for label in pd.unique(pd.Series(y).dropna()) if str(label) == text]
    if text is not None and not found:
        raise SystemExit(f"--pos-label {text}: no row has that label.")
    return found[0] if found else None


def demonstration():
    """Generated predictions with a tenth of the cells missing: 1000 rows to search on, 4000 held
    out.
    """
    data = make_predictions(n_samples=5000, n_models=15, missing=0.1, random_state=0)
    R = pd.DataFrame(data.R, columns=[f"model {u}" for u in range(data.R.shape[1])])
    return R[:1000], data.y[:1000], (R[1000:], data.y[1000:])


def report(search):
    """The best trials by the first score, parameters that all of them share left out."""
    scoring, trials = search.aims_[0], search.trials_
    values = [name for name in trials if name in ("value", "values_0", "values_1")]
    shown = trials[trials["state"] == "COMPLETE"].nlargest(5, values[0]).set_index("number")
    params = (name for name in shown if name.startswith("params_"))
    shown = shown[[*values, "user_attrs_standard_error", *params]]
    shown.columns = [
        name.removeprefix("params_").removeprefix("user_attrs_") for name in shown.columns
    ]
    print(
        f"\n{len(trials)} trials: {trials['state'].value_counts().to_dict()}. The best by "
        f"{scoring}:"
    )
    print(shown.T.to_string(float_format="{:.4g}".format, na_rep=""))
    print(f"\nThe search {search.selection_report_}\nselected: {search.best_params_}")
    print(f"{scoring}: {search.best_score_:.4f} (standard error {search.best_standard_error_:.4f})")


def compare(search, R, y, R_test, y_test):
    """Scores on rows that the search did not see."""
    models = {"search": search, "CFEnsemble()": CFEnsemble().fit(R, y)}
    models["guide"] = search.guidance_.estimator().fit(R, y)
    probabilities = {name: model.predict_proba(R_test)[:, 1] for name, model in models.items()}
    probabilities["plain average"] = R_test.mean(axis=1).fillna(y.mean())
    rows = {
        name: (average_precision_score(y_test, p), log_loss(y_test, p))
        for name, p in probabilities.items()
    }
    table = pd.DataFrame(rows, index=["average precision", "log loss"]).T
    print(f"\nOn {len(y_test)} rows held out:\n{table.to_string(float_format='{:.4f}'.format)}")


def write(search, folder):
    """Model, table and pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(search.best_estimator_, folder / "model.joblib")
    search.trials_.to_csv(folder / "trials.csv", index=False)
    if len(search.aims_) > 1:
        search.pareto_front_.to_csv(folder / "pareto_front.csv")
        ParetoDisplay.from_estimator(search).plot()
        pyplot.savefig(folder / "pareto.png", dpi=120, bbox_inches="tight")
        pyplot.close("all")
    n_completed = len(search.aims_) == 1 and sum(
        trial.state.name == "COMPLETE" for trial in search.study_.trials
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        for name, draw in PICTURES.items() if n_completed >= TRIALS_FOR_PICTURES else ():
            draw(search.study_)
            pyplot.savefig(folder / f"{name}.png", dpi=120, bbox_inches="tight")
            pyplot.close("all")
    print(f"\nmodel, trials and pictures: {folder.resolve()}")


if __name__ == "__main__":
    main()
