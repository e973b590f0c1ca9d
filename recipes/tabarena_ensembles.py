"""Does CFEnsemble combine better than greedy selection in TabArena's own simulation?

What AutoGluon's bagged models predict on the sets of `host_fits.py` becomes a repository of
TabArena, whose `evaluate_ensemble` scores both on the same artifacts: greedy selection in 100
rounds, its default, and `TabArenaEnsembler`. Wins over sets with the mean gain and Wilcoxon's p;
splits are averaged. Needs the extra "plugins"; a minute once the hosts are fitted, of which it takes
those that are.
"""

import argparse
import warnings

import pandas as pd
from comparison import against, markdown
from host_fits import N_SPLITS, HostFit, path_of, tasks
from host_tables import wins_text

from cfens_stack.plugins.tabarena import TabArenaEnsembler

OURS, GREEDY = "CFEnsemble", "greedy selection"
METRICS = {"log_loss": "log loss", "roc_auc": "1 - ROC AUC"}
ENSEMBLES = {
    GREEDY: {"use_fast_metrics": False},
    OURS: {"ensembler_cls": TabArenaEnsembler, "use_fast_metrics": False},
}
# What the repository asks of each model besides, and the ensembles do not look at.
UNUSED = {
    "problem_type": "binary",
    "metric_error": 0.0,
    "metric_error_val": 0.0,
    "time_train_s": 1.0,
    "time_infer_s": 1.0,
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--splits", type=int, default=N_SPLITS, help=f"default: {N_SPLITS}")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # what the toolkit warns of
    fits = {
        (name, number): HostFit.load(path_of(*task))
        for task in tasks(["AutoGluon"], n_splits=arguments.splits)
        if path_of(*task).is_file()
        for _, name, number in [task]
    }
    rows = {}
    for metric, title in METRICS.items():
        errors = pd.DataFrame(evaluate(repository(fits, metric), fits))
        errors = errors.assign(family=errors["set"])
        means = errors.groupby("method")["error"].mean()
        rows[title] = {
            "sets": errors["set"].nunique(),
            **{method: float(means[method]) for method in ENSEMBLES},
            f"{OURS} against {GREEDY}": wins_text(
                against(errors.assign(**{"log loss": errors["error"]}), OURS, "log loss", "set")
            )[GREEDY],
        }
    print(markdown(pd.DataFrame(rows).T, "test error"))


def repository(fits, metric):
    """TabArena's repository of the predictions, with a metric to score and to select by."""
    from tabarena.repository import EvaluationRepository

    configs = [
        {"dataset": name, "fold": number, "framework": str(model), "metric": metric} | UNUSED
        for (name, number), fit in fits.items()
        for model in fit.names
    ]
    return EvaluationRepository.from_raw(
        df_configs=pd.DataFrame(configs),
        results_lst_simulation_artifacts=[
            {name: {number: artifact(fit, metric)}} for (name, number), fit in fits.items()
        ],
        task_metadata=pd.DataFrame({"dataset": sorted({name for name, _ in fits})}),
    )


def artifact(fit, metric):
    """As `predictor.simulation_artifact(test_data)` gives it."""
    return {
        "pred_proba_dict_val": dict(zip(map(str, fit.names), fit.R.T, strict=True)),
        "pred_proba_dict_test": dict(zip(map(str, fit.names), fit.R_test.T, strict=True)),
        "y_val": pd.Series(fit.y),
        "y_test": pd.Series(fit.y_test),
        "problem_type": "binary",
        "problem_type_transform": "binary",
        "eval_metric": metric,
        "ordered_class_labels": [0, 1],
        "ordered_class_labels_transformed": [0, 1],
        "num_classes": 2,
        "label": "label",
    }


def evaluate(repo, fits):
    """One row per set, split and ensemble."""
    for name, number in fits:
        configs = [str(model) for model in fits[name, number].names]
        for method, settings in ENSEMBLES.items():
            result, _ = repo.evaluate_ensemble(name, number, configs, ensemble_kwargs=settings)
            error = result["metric_error"].iloc[0]
            yield {"method": method, "set": name, "fold": number, "error": error}


if __name__ == "__main__":
    main()
