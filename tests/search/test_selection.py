"""Which configuration is refitted: the default, unless another's gain exceeds the noise."""

import logging

import numpy as np
import pytest
from sklearn.metrics import get_scorer, log_loss
from sklearn.model_selection import StratifiedKFold

from cfens_stack import CFEnsemble, CFEnsembleSearch
from cfens_stack.datasets import make_predictions
from cfens_stack.search.pruning import corrected_standard_error
from cfens_stack.search.selection import STANDARD_ERRORS
from cfens_stack.search.space import Param

CV = StratifiedKFold(5, shuffle=True, random_state=0)
DATA = make_predictions(n_samples=300, n_models=6, random_state=0)
SPACE = [
    Param("aggregator", choices=("weighted", "mean")),
    Param("lambda_reg", low=1e-3, high=0.1, log=True),
]


def search(n_trials=6, **params):
    settings = {"cv": CV, "random_state": 0, "scoring": "neg_log_loss", "space": SPACE}
    return CFEnsembleSearch(n_trials, **{**settings, **params})


def log_scores(params, data=DATA):
    """Of each fold."""
    scores = []
    for train, test in CV.split(data.R, data.y):
        model = CFEnsemble(**params).fit(data.R[train], data.y[train])
        scores.append(-log_loss(data.y[test], model.predict_proba(data.R[test])))
    return np.array(scores)


def test_the_default_is_kept_where_nothing_gains_more_than_noise(caplog):
    with caplog.at_level(logging.INFO, logger="cfens_stack"):
        fitted = search().fit(DATA.R, DATA.y)
    default = {"aggregator": "weighted", "lambda_reg": CFEnsemble().lambda_reg}
    assert fitted.best_params_ == default
    best = max(
        (trial for trial in fitted.study_.trials[1:] if trial.value is not None),
        key=lambda trial: trial.value if trial.state.name == "COMPLETE" else -np.inf,
    )
    gains = log_scores(fitted.space_.decode(best.params)) - log_scores(default)
    error = corrected_standard_error(gains, 1 / 4)
    assert f"gains {gains.mean():.4f} +- {error:.4f} in neg_log_loss" in fitted.selection_report_
    assert fitted.selection_report_.startswith("kept the default: the best of ")
    assert fitted.selection_report_ in caplog.text
    assert fitted.selection_report_ in fitted._repr_html_().replace("&#x27;", "'")
    np.testing.assert_array_equal(
        fitted.predict_proba(DATA.R), CFEnsemble().fit(DATA.R, DATA.y).predict_proba(DATA.R)
    )


@pytest.mark.parametrize("scoring", ["neg_log_loss", "neg_brier_score"])
def test_a_gain_beyond_the_noise_leaves_the_default(scoring):
    """The plain average, taken for the default here, is far behind."""
    data = make_predictions(n_samples=1500, n_models=6, random_state=0)
    base = CFEnsemble(aggregator="mean")
    fitted = search(12, scoring=scoring, estimator=base).fit(data.R, data.y)
    assert fitted.study_.trials[0].params["aggregator"] == "mean"
    assert fitted.best_params_["aggregator"] == "weighted"
    gains = log_scores(fitted.best_params_, data) - log_scores({"aggregator": "mean"}, data)
    assert gains.mean() > STANDARD_ERRORS * corrected_standard_error(gains, 1 / 4)
    assert fitted.selection_report_.startswith("left the default for trial ")
    assert fitted.best_score_ >= fitted.study_.trials[0].value


def test_a_score_of_ones_own_is_not_enough():
    """By this callable strong regularisation wins; by the log score nothing does."""
    fitted = search(scoring=lambda estimator, R, y: estimator.lambda_reg).fit(DATA.R, DATA.y)
    assert fitted.best_params_["lambda_reg"] == CFEnsemble().lambda_reg
    best = search(scoring=lambda estimator, R, y: estimator.lambda_reg, selection="best")
    assert best.fit(DATA.R, DATA.y).best_params_["lambda_reg"] > CFEnsemble().lambda_reg


def test_a_configuration_that_is_worse_by_the_score_searched_by_is_not_taken():
    fitted = search(
        12,
        scoring=lambda estimator, R, y: float(estimator.aggregator == "mean"),
        estimator=CFEnsemble(aggregator="mean"),
    ).fit(DATA.R, DATA.y)
    assert fitted.best_params_["aggregator"] == "mean"


def test_one_fold_says_nothing_of_noise():
    rows = np.arange(300)
    fitted = search(cv=[(rows[:200], rows[200:])], estimator=CFEnsemble(aggregator="mean"))
    assert fitted.fit(DATA.R, DATA.y).best_params_["aggregator"] == "mean"


def test_the_default_is_never_pruned():
    class Everything:
        def prune(self, study, trial):
            return True

    fitted = search(3, pruner=Everything()).fit(DATA.R, DATA.y)
    assert [trial.state.name for trial in fitted.study_.trials] == ["COMPLETE", "PRUNED", "PRUNED"]
    assert "no other trial was completed" in fitted.selection_report_


def test_a_default_that_cannot_be_fitted_is_not_compared_with():
    def scorer(estimator, R, y):
        if estimator.lambda_reg == CFEnsemble().lambda_reg:
            raise ArithmeticError("not today")
        return get_scorer("neg_log_loss")(estimator, R, y)

    fitted = search(scoring=scorer).fit(DATA.R, DATA.y)
    assert "without a comparison: the default configuration was not completed" in (
        fitted.selection_report_
    )
    assert fitted.best_score_ == max(
        trial.value for trial in fitted.study_.trials if trial.state.name == "COMPLETE"
    )


def test_a_continued_study_selects_as_one_that_ran_through(tmp_path):
    settings = {"storage": tmp_path / "trials.journal", "study_name": "s"}
    search(3, **settings).fit(DATA.R, DATA.y)
    continued = search(6, **settings).fit(DATA.R, DATA.y)
    again = search(6, **settings).fit(DATA.R, DATA.y)
    assert again.selection_report_ == continued.selection_report_
    assert again.best_params_ == continued.best_params_


def test_several_aims_make_a_pareto_front():
    pytest.importorskip("pandas")
    aims = ("average_precision", "neg_log_loss")
    fitted = search(10, scoring=aims).fit(DATA.R, DATA.y)
    front = fitted.pareto_front_
    trials = [trial for trial in fitted.study_.trials if trial.state.name == "COMPLETE"]
    values = np.array([trial.values for trial in trials])
    beaten = [np.any(np.all(values >= v, axis=1) & np.any(values > v, axis=1)) for v in values]
    own = [
        trial.number
        for trial, is_beaten in zip(trials, beaten, strict=True)
        if not is_beaten and "copy_of" not in trial.user_attrs
    ]
    assert sorted(front.index) == own
    np.testing.assert_array_equal(
        front[list(aims)], [fitted.study_.trials[number].values for number in front.index]
    )
    assert all(f"in {aim}" in fitted.selection_report_ for aim in aims)
    assert fitted.best_params_["lambda_reg"] == CFEnsemble().lambda_reg
    assert fitted.predict_proba(DATA.R).shape == (300, 2)


def test_a_trial_hopelessly_behind_in_log_score_ends_early():
    """Paired over the rows seen; where another selection may want it, it has its three folds."""
    data = make_predictions(n_samples=2000, n_models=6, random_state=0)
    settings = {"space": [Param("link", choices=("logit", "identity"))], "estimator": None}
    fitted = search(4, **settings).fit(data.R, data.y)
    pruned = next(trial for trial in fitted.study_.trials if trial.state.name == "PRUNED")
    n_folds = len(pruned.intermediate_values)
    assert n_folds < 3
    gains = []
    for train, test in list(CV.split(data.R, data.y))[:n_folds]:
        logs = []
        for link in ("identity", "logit"):
            P = CFEnsemble(link=link).fit(data.R[train], data.y[train]).predict_proba(data.R[test])
            logs.append(np.log(P[np.arange(len(test)), data.y[test]]))
        gains.append(logs[0] - logs[1])
    gains = np.concatenate(gains)
    z = gains.mean() / (gains.std() / np.sqrt(len(gains)))
    assert pruned.user_attrs["row_z"] == pytest.approx(z, rel=1e-6)
    assert z < -3.0
    best = search(4, selection="best", **settings).fit(data.R, data.y)
    assert all(len(trial.intermediate_values) >= 3 for trial in best.study_.trials)
