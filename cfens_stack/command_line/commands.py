"""The commands: from parsed options to files and text on standard output."""

import sys

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.utils.validation import check_is_fitted

from cfens_stack.command_line.model_files import (
    check_folder,
    check_target,
    load_model,
    save_model,
)
from cfens_stack.ensemble import CFEnsemble
from cfens_stack.guide import recommend as recommend_settings
from cfens_stack.plugins.prediction_tables import read_predictions
from cfens_stack.plugins.table_files import needed
from cfens_stack.search import CFEnsembleSearch
from cfens_stack.stacking import score_models
from cfens_stack.validation import encode_labels


def fit(options):
    """Fit a `CFEnsemble` to a table and store it."""
    check_target(options.model)
    table = _labelled_table(options)
    meta = CFEnsemble().set_params(
        **{"layout": options.layout, "pos_label": _positive(options, table), **options.settings}
    )
    meta.fit(_frame(table), table.y, sample_weight=table.sample_weight)
    save_model(meta, options.model)
    _write(f"{options.table}: {table}\nmodel: {options.model}\n")


def predict(options):
    """Probabilities and the most probable class of new rows, as a CSV table."""
    if options.out is not None:
        check_folder(options.out)
    model = load_model(options.model)
    check_is_fitted(model)
    table = read_predictions(options.table, id=options.id, models=list(model.feature_names_in_))
    R, pandas = _frame(table), needed("pandas")
    P = model.predict_proba(R)
    result = pandas.DataFrame(P, columns=[f"p_{label}" for label in model.classes_])
    result["prediction"] = model.predict(R)
    if table.ids is not None:
        result.insert(0, options.id, table.ids)
    result.to_csv(sys.stdout if options.out is None else options.out, index=False)


def search(options):
    """Search hyperparameters on a table, and store the ensemble that was selected."""
    check_target(options.model)
    table = _labelled_table(options)
    positive = _positive(options, table)
    found = CFEnsembleSearch(
        options.trials,
        timeout=options.timeout,
        cv=options.folds,
        scoring=options.scoring,
        pos_label=positive,
        storage=options.storage,
        study_name=None if options.storage is None else options.study,
        n_jobs=options.jobs,
        selection=options.selection,
        show_progress_bar=not options.quiet,
        estimator=CFEnsemble(layout=options.layout, pos_label=positive),
        random_state=options.seed,
    ).fit(_frame(table), table.y, sample_weight=table.sample_weight)
    save_model(_deciding(found, table), options.model)
    _write(
        f"{options.table}: {table}\nThe search {found.selection_report_}\n"
        f"{options.scoring}: {found.best_score_:.4f} "
        f"(standard error {found.best_standard_error_:.4f})\n"
        f"parameters: {found.best_params_}\nmodel: {options.model}\n"
    )


def recommend(options):
    """Settings that the decision guide advises for a table."""
    table = _labelled_table(options)
    advice = recommend_settings(
        table.R,
        table.y,
        sample_weight=table.sample_weight,
        layout=options.layout,
        pos_label=_positive(options, table),
    )
    _write(f"{options.table}: {table}\n{advice}\n")


def leaderboard(options):
    """Scores of the models, of the ensemble and of the plain average."""
    if options.out is not None:
        check_folder(options.out)
    table = _labelled_table(options)
    board = score_models(
        table.R,
        table.y,
        names=table.model_names,
        layout=options.layout,
        pos_label=_positive(options, table),
        scoring=options.scoring,
        sample_weight=table.sample_weight,
    )
    if options.out is not None:
        board.to_csv(options.out)
    else:
        _write(board.to_string(float_format="{:.4f}".format, na_rep="") + "\n")


def _labelled_table(options):
    return read_predictions(
        options.table,
        label=options.label,
        weight=options.weight,
        id=options.id,
        ignore=options.ignore,
        models=options.models,
    )


def _frame(table):
    """Predictions under the names of their columns."""
    return needed("pandas").DataFrame(table.R, columns=table.model_names)


def _positive(options, table):
    """The class that is written like `--pos-label`, None for none."""
    if options.pos_label is None:
        return None
    classes = encode_labels(table.y)[0]
    found = [label for label in classes.tolist() if str(label) == options.pos_label]
    if not found:
        raise ValueError(
            f"--pos-label {options.pos_label}: no row has that label; there are "
            f"{', '.join(map(str, classes))}."
        )
    return found[0]


def _deciding(search, table):
    """What a search selected, with the threshold that belongs to it."""
    model = search.best_estimator_
    if search.best_threshold_ is None:
        return model
    model.feature_names_in_ = np.asarray(table.model_names, dtype=object)
    positive = search.pos_label if search.pos_label is not None else search.classes_[1]
    fixed = FixedThresholdClassifier(
        FrozenEstimator(model), threshold=search.best_threshold_, pos_label=positive
    )
    known = [label in search.classes_ for label in table.y]
    return fixed.fit(_frame(table)[known], table.y[known])


def _write(text):
    sys.stdout.write(text)
