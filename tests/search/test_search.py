"""CFEnsembleSearch: what is searched, how it is scored, what comes out."""

import pickle
import time

import numpy as np
import optuna
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_1samp
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, get_scorer, make_scorer
from sklearn.model_selection import LeaveOneGroupOut, StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from cfens_stack import CFEnsemble, CFEnsembleSearch, StackingPipeline, recommend
from cfens_stack.datasets import make_predictions
from cfens_stack.search.pruning import FoldPruner
from cfens_stack.search.space import SEARCH_SPACE, Param, fit_space
from cfens_stack.search.storage import open_storage

CV = StratifiedKFold(
    3, shuffle=True, random_state=0
)  # not repeated, which an int would be for so few rows
DATA = make_predictions(n_samples=300, n_models=6, random_state=0)
MULTICLASS = make_predictions(n_samples=300, n_models=4, n_classes=3, random_state=0)


def search(n_trials=3, **params):
    return CFEnsembleSearch(n_trials, **{"cv": CV, "random_state": 0, **params})


def states(study):
    return [trial.state.name for trial in study.get_trials(deepcopy=False)]


def raising(estimator, R, y):
    """Scorer that cannot score the default configuration."""
    if estimator.link == "logit":
        raise ArithmeticError("no logits today")
    return 0.5


def callbacks_that_wait_for_a_second_worker():
    def wait(study, trial):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            workers = {
                t.user_attrs["worker"]["pid"] for t in study.trials if "worker" in t.user_attrs
            }
            if len(workers) > 1:
                return
            time.sleep(0.05)

    return [wait]


def nan_for_logit(estimator, R, y):
    return np.nan if estimator.link == "logit" else 0.5


def test_first_trials_are_the_default_and_the_guides_configuration():
    fitted = search(4).fit(DATA.R, DATA.y)
    default, guided, *_ = [fitted.space_.decode(trial.params) for trial in fitted.study_.trials]
    for params, expected in (
        (default, CFEnsemble()),
        (guided, recommend(DATA.R, DATA.y).estimator("als")),
    ):
        mine = CFEnsemble(**params).fit(DATA.R, DATA.y).predict_proba(DATA.R)
        np.testing.assert_array_equal(mine, expected.fit(DATA.R, DATA.y).predict_proba(DATA.R))
    assert fitted.best_score_ >= max(trial.value for trial in fitted.study_.trials[:2])


def test_score_is_the_mean_over_stratified_folds():
    cv = StratifiedKFold(4, shuffle=True, random_state=1)
    fitted = search(1, cv=cv).fit(DATA.R, DATA.y)
    model, R, y = CFEnsemble(**fitted.best_params_), DATA.R, DATA.y
    scores = [
        average_precision_score(y[test], model.fit(R[train], y[train]).predict_proba(R[test])[:, 1])
        for train, test in cv.split(R, y)
    ]
    assert fitted.best_score_ == pytest.approx(np.mean(scores))
    assert list(fitted.study_.trials[0].intermediate_values.values()) == pytest.approx(scores)
    overlap = 1 / 4 + 1 / 3  # Nadeau and Bengio: 1 / J + n_test / n_train
    assert fitted.best_standard_error_ == pytest.approx(
        np.sqrt(overlap * np.var(scores, ddof=1)), rel=1e-2
    )


@pytest.mark.parametrize(("n", "repetitions"), [(200, 4), (500, 2), (1200, 1)])
def test_folds_are_repeated_when_the_rarest_class_is_small(n, repetitions):
    data = make_predictions(n_samples=n, n_models=3, weights=(0.88, 0.12), random_state=0)
    fitted = search(1, cv=3).fit(data.R, data.y)
    assert len(fitted.study_.trials[0].intermediate_values) == 3 * repetitions


def test_unlabelled_rows_are_always_trained_on_and_never_scored():
    y = DATA.y.astype(float)
    y[::3] = np.nan
    seen = []

    def scorer(estimator, R, y):
        assert not np.isnan(y.astype(float)).any()
        seen.append((len(y), estimator))
        return 0.5

    class Recording(CFEnsemble):
        def fit(self, R, y, sample_weight=None):
            self.n_unlabelled_ = np.isnan(np.asarray(y, dtype=float)).sum()
            return super().fit(R, y, sample_weight)

    fitted = search(1, cv=2, scoring=scorer, estimator=Recording()).fit(DATA.R, y)
    assert {estimator.n_unlabelled_ for _, estimator in seen} == {100}
    assert sum(n for n, _ in seen) == 200 * len(fitted.study_.trials[0].intermediate_values) / 2


def test_weights_reach_fits_and_scores_like_repetition():
    """A weight of 2 is the row twice: in folds that keep both copies together nothing else
    changes.
    """
    rng = np.random.default_rng(0)
    weight = rng.integers(1, 3, len(DATA.y))
    fold = rng.integers(0, 3, len(DATA.y))
    repeated = np.repeat(np.arange(len(DATA.y)), weight)
    splits = [
        list(LeaveOneGroupOut().split(DATA.R[rows], groups=fold[rows]))
        for rows in (np.arange(300), repeated)
    ]
    weighted = search(3, cv=splits[0]).fit(DATA.R, DATA.y, sample_weight=weight)
    twice = search(3, cv=splits[1]).fit(DATA.R[repeated], DATA.y[repeated])
    assert weighted.best_score_ == pytest.approx(twice.best_score_)
    np.testing.assert_allclose(
        weighted.predict_proba(DATA.R), twice.predict_proba(DATA.R), rtol=1e-3
    )


def test_groups_stay_on_one_side():
    groups = np.arange(300) // 5
    sides = []

    def scorer(estimator, R, y):
        sides.append(frozenset(R[:, 0]))
        return 0.5

    search(1, cv=3, scoring=scorer).fit(DATA.R, DATA.y, groups=groups)
    for side in sides:
        rows = np.flatnonzero(np.isin(DATA.R[:, 0], list(side)))
        assert not set(groups[rows]) & set(groups[np.setdiff1d(np.arange(300), rows)])


@pytest.mark.parametrize(
    "scoring", ["roc_auc", "neg_log_loss", "balanced_accuracy", get_scorer("neg_brier_score")]
)
def test_any_scorer(scoring):
    fitted = search(2, scoring=scoring).fit(DATA.R, DATA.y)
    assert np.isfinite(fitted.best_score_)


def test_named_scores_work_with_text_labels_and_callables_see_them():
    y = np.array(["ham", "spam"])[DATA.y]
    named = search(2).fit(DATA.R, y)
    scorer = make_scorer(average_precision_score, pos_label="spam", response_method="predict_proba")
    callable_ = search(2, scoring=scorer)
    assert named.best_score_ == callable_.fit(DATA.R, y).best_score_
    assert set(named.predict(DATA.R)) == {"ham", "spam"}


def test_several_classes_and_scores():
    fitted = search(3, scoring="neg_log_loss").fit(MULTICLASS.R, MULTICLASS.y)
    assert fitted.predict_proba(MULTICLASS.R).shape == (300, 3)
    scores = search(3).fit(20.0 * DATA.R - 10.0, DATA.y)
    assert scores.best_estimator_.layout_ == "scores"
    assert "link" not in scores.best_params_  # scores have no log-odds to choose


def test_failed_trials_and_nan_scores_are_recorded_and_do_not_end_the_study():
    for scoring, reason in (
        (raising, "ArithmeticError: no logits today"),
        (nan_for_logit, "fold 0 is nan"),
    ):
        fitted = search(12, scoring=scoring).fit(DATA.R, DATA.y)
        failed = [trial for trial in fitted.study_.trials if trial.state.name == "FAIL"]
        assert failed
        assert all(reason in trial.user_attrs["error"] for trial in failed)
        assert len(fitted.study_.trials) == 12
        assert fitted.best_params_["link"] == "identity"


def test_nothing_but_failures_raises_with_the_reasons():
    def broken(estimator, R, y):
        raise ArithmeticError("broken")

    with pytest.raises(
        ValueError, match=r"No trial was completed; 2 failed.*\n- ArithmeticError: broken"
    ):
        search(2, scoring=broken).fit(DATA.R, DATA.y)


def test_same_seed_same_trials_and_a_second_fit_starts_afresh():
    first = search(14).fit(DATA.R, DATA.y)
    again = clone(first).fit(DATA.R, DATA.y)
    second = first.fit(DATA.R, DATA.y)
    for one, other in zip(again.study_.trials, second.study_.trials, strict=True):
        assert one.params == other.params
        assert one.values == other.values
    assert len(second.study_.trials) == 14


def test_guide_narrows_and_without_it_everything_is_asked():
    balanced = make_predictions(
        n_samples=200, n_models=5, weights=(0.5, 0.5), noise=0.5, random_state=0
    )
    guidance = recommend(balanced.R, balanced.y)
    assert not guidance.is_imbalanced
    assert not guidance.is_high_disagreement
    narrow, wide = (
        fit_space(SEARCH_SPACE, ("als",), guidance, 5, guided=guided) for guided in (True, False)
    )
    asked = {row.name for row in wide.rows} - {row.name for row in narrow.rows}
    assert asked == {"use_class_weights", "use_label_aware_confidence", "focal_gamma"}
    assert narrow.fixed["focal_gamma"] == 0.0


def test_space_is_conditional_and_never_asks_what_a_trainer_refuses():
    guidance = recommend(DATA.R, DATA.y)
    space = fit_space(SEARCH_SPACE, ("als", "pytorch"), guidance, 6, guided=False)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(200):
        trial = study.ask()
        params = space.suggest(trial)
        seen |= {(params["trainer"], params.get("use_label_aware_confidence"), "rho" in params)}
        assert params["latent_dim"] <= 6
        assert params["focal_gamma"] == 0 or 0.5 <= params["focal_gamma"] <= 5
        assert ("smoothing" in params) == (params["link"] == "logit")
        assert space.decode(trial.params) == params
        assert space.encode(params) == trial.params
    assert seen == {("als", False, False), ("als", True, True), ("pytorch", None, True)}


def test_space_can_be_replaced():
    space = [Param("latent_dim", low=1, high=3), Param("link", choices=("logit", "identity"))]
    fitted = search(30, space=space, estimator=CFEnsemble(posterior="weighted")).fit(DATA.R, DATA.y)
    assert set(fitted.best_params_) == {"latent_dim", "link"}
    assert fitted.best_estimator_.posterior == "weighted"
    evaluated = [
        trial.params for trial in fitted.study_.trials if "copy_of" not in trial.user_attrs
    ]
    assert (
        len(evaluated) == len({tuple(params.items()) for params in evaluated}) <= 6
    )  # no configuration twice
    with pytest.raises(ValueError, match="low <= high"):
        Param("rho", low=1.0, high=0.0)


@pytest.mark.parametrize(("state", "n_scored"), [("FAIL", 3 + 1), ("PRUNED", 10 + 3)])
def test_a_repeated_configuration_ends_as_before_without_a_fit(state, n_scored):
    calls = []

    def scorer(estimator, R, y):
        calls.append(estimator.link)
        if state == "FAIL" and estimator.link == "identity":
            raise ArithmeticError("no identities today")
        return float(estimator.link == "logit")

    space = [Param("link", choices=("logit", "identity"))]
    cv = StratifiedKFold(10) if state == "PRUNED" else CV
    fitted = search(10, space=space, cv=cv, scoring=scorer, guide=False).fit(DATA.R, DATA.y)
    assert len(calls) == n_scored
    ended = [trial for trial in fitted.study_.trials if trial.params["link"] == "identity"]
    assert len(ended) > 1
    assert {trial.state.name for trial in ended} == {state}
    assert [trial.user_attrs.get("copy_of") for trial in ended] == [None] + (len(ended) - 1) * [
        ended[0].number
    ]
    assert all(
        state == "PRUNED" or "no identities today" in trial.user_attrs["error"] for trial in ended
    )


def test_progress_bar_counts_trials(capsys):
    search(3).fit(DATA.R, DATA.y)
    assert not capsys.readouterr().err
    search(3, show_progress_bar=True).fit(DATA.R, DATA.y)
    assert "3/3" in capsys.readouterr().err


def test_hopeless_trials_are_pruned():
    calls = []

    def scorer(estimator, R, y):
        calls.append(estimator)
        return 1.0 if estimator.link == "logit" else 0.0

    fitted = search(12, cv=StratifiedKFold(10), scoring=scorer).fit(DATA.R, DATA.y)
    pruned = [trial for trial in fitted.study_.trials if trial.state.name == "PRUNED"]
    assert pruned
    assert all(trial.params["link"] == "identity" for trial in pruned)
    assert len(calls) == 120 - 7 * len(pruned)  # after three folds of ten


def test_pruner_is_the_corrected_resampled_t_test():
    differences = np.array([-0.02, -0.05, -0.01, -0.04])
    plain = ttest_1samp(differences, 0.0, alternative="less")
    pruner = FoldPruner(overlap=0.25)
    t = plain.statistic / np.sqrt(1 + 4 * 0.25)
    assert pruner.p_value(differences) == pytest.approx(student.cdf(t, df=3))
    assert FoldPruner(overlap=0.0).p_value(differences) == pytest.approx(plain.pvalue)
    assert pruner.p_value(np.full(3, -0.1)) < 1e-9


@pytest.mark.parametrize(("spread", "near"), [(0.105, False), (0.115, True)])
def test_the_simplest_within_one_standard_error_is_selected(spread, near):
    """The default is 0.1 behind. The corrected standard error is that of 1 / 3 + 1 / 2 variances:
    0.913 spread.
    """
    offsets = dict(
        zip(
            (DATA.R[test[0], 0] for _, test in CV.split(DATA.R, DATA.y)),
            (-1.0, 0.0, 1.0),
            strict=True,
        )
    )

    def score(estimator, R, y):
        is_default = estimator.lambda_reg == CFEnsemble().lambda_reg
        return 0.5 + spread * offsets[R[0, 0]] if is_default else 0.6

    fitted = search(5, selection="one-standard-error", scoring=score).fit(DATA.R, DATA.y)
    default, *others = fitted.study_.trials
    assert default.value == pytest.approx(0.5)
    searched = [t.params for t in others if t.value == 0.6 and "fixed_params" not in t.system_attrs]
    simplest = min(
        map(fitted.space_.decode, searched),
        key=lambda params: (params["latent_dim"], -params["lambda_reg"]),
    )
    assert fitted.best_params_ == (fitted.space_.decode(default.params) if near else simplest)


def test_average_of_the_best():
    best, average = (
        search(6, selection=selection, n_average=3).fit(DATA.R, DATA.y)
        for selection in ("best", "average")
    )
    trials = sorted(
        best.study_.trials,
        key=lambda trial: -(trial.value if trial.state.name == "COMPLETE" else -1),
    )[:3]
    mean = np.mean(
        [
            CFEnsemble(**best.space_.decode(t.params)).fit(DATA.R, DATA.y).predict_proba(DATA.R)
            for t in trials
        ],
        axis=0,
    )
    np.testing.assert_allclose(average.predict_proba(DATA.R), mean)


def test_a_database_in_memory_outlives_its_first_connection():
    storage = open_storage("sqlite:///:memory:")
    fitted = search(2, storage=storage).fit(DATA.R, DATA.y)
    assert states(fitted.study_) == ["COMPLETE", "COMPLETE"]
    storage.remove_session()
    storage.engine.dispose()


def test_without_refit_there_is_no_prediction():
    fitted = search(2, refit=False).fit(DATA.R, DATA.y)
    assert not hasattr(fitted, "predict_proba")
    assert fitted.best_params_["trainer"] == "als"


def test_pickle_keeps_the_study():
    fitted = search(3, callbacks=[lambda study, trial: None])
    fitted.fit(DATA.R, DATA.y)
    fitted.set_params(callbacks=None)
    copied = pickle.loads(pickle.dumps(fitted))
    assert len(copied.study_.trials) == 3
    np.testing.assert_array_equal(copied.predict_proba(DATA.R), fitted.predict_proba(DATA.R))


def test_trials_as_a_data_frame():
    pytest.importorskip("pandas")
    fitted = search(3).fit(DATA.R, DATA.y)
    assert len(fitted.trials_) == 3
    assert {"value", "state", "params_latent_dim", "user_attrs_standard_error"} <= set(
        fitted.trials_.columns
    )


@pytest.mark.parametrize(
    "draw", ["plot_optimization_history", "plot_slice", "plot_param_importances"]
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_pictures(draw):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    fitted = search(12).fit(DATA.R, DATA.y)
    axes = getattr(optuna.visualization.matplotlib, draw)(fitted.study_)
    assert np.ravel(axes)[0].has_data()
    matplotlib.pyplot.close("all")


def test_interruption_keeps_what_is_finished():
    def interrupt(study, trial):
        if trial.number == 2:
            raise KeyboardInterrupt

    fitted = search(10, callbacks=[interrupt]).fit(DATA.R, DATA.y)
    assert len(fitted.study_.trials) == 3
    assert fitted.predict(DATA.R).shape == (300,)


def test_interrupted_trial_is_redone(tmp_path):
    storage = tmp_path / "trials.journal"
    scored = []

    def scorer(estimator, R, y):
        scored.append(estimator)
        if len(scored) == 5:  # in the second trial
            raise KeyboardInterrupt
        return float(estimator.lambda_reg)

    first = search(4, storage=storage, study_name="s", scoring=scorer).fit(DATA.R, DATA.y)
    assert states(first.study_) == ["COMPLETE", "FAIL"]
    second = search(4, storage=storage, study_name="s", scoring=scorer).fit(DATA.R, DATA.y)
    assert second.study_.trials[0] == first.study_.trials[0]
    assert second.study_.trials[2].params == first.study_.trials[1].params
    assert sum(state in ("COMPLETE", "PRUNED") for state in states(second.study_)) == 4


def test_timeout_ends_the_search_and_callbacks_stop_it():
    assert len(search(None, timeout=0.2).fit(DATA.R, DATA.y).study_.trials) >= 1
    stopped = search(50, callbacks=[lambda study, trial: study.stop()]).fit(DATA.R, DATA.y)
    assert states(stopped.study_) == ["COMPLETE", "WAITING"]
    with pytest.raises(ValueError, match="needs a timeout"):
        search(None).fit(DATA.R, DATA.y)


@pytest.mark.parametrize("storage", [None, "trials.journal"])
def test_several_jobs_reach_the_total_and_repeat_nothing(storage, tmp_path):
    storage = storage and tmp_path / storage
    both = callbacks_that_wait_for_a_second_worker() if storage else None
    fitted = search(9, n_jobs=2, storage=storage, callbacks=both).fit(DATA.R, DATA.y)
    counted = [t for t in fitted.study_.trials if t.state.name in ("COMPLETE", "PRUNED")]
    assert len(counted) == 9
    assert len({tuple(sorted(trial.params.items())) for trial in counted}) == 9
    if storage is not None:
        assert len({trial.user_attrs["worker"]["pid"] for trial in fitted.study_.trials}) == 2


@pytest.mark.parametrize("url", ["sqlite:///{}/trials.db", "journal://{}/trials", "{}/trials.log"])
def test_stored_study_is_continued_under_its_name_only(url, tmp_path):
    storage = url.format(tmp_path)
    first = search(2, storage=storage, study_name="s").fit(DATA.R, DATA.y)
    longer = search(4, storage=storage, study_name="s").fit(DATA.R, DATA.y)
    assert longer.study_.trials[:2] == first.study_.trials[:2]
    assert len(longer.study_.trials) == 4
    assert len(search(2, storage=storage).fit(DATA.R, DATA.y).study_.trials) == 2
    with pytest.raises(ValueError, match="other data"):
        search(4, storage=storage, study_name="s").fit(DATA.R, 1 - DATA.y)
    with pytest.raises(ValueError, match="or space"):
        search(4, storage=storage, study_name="s", guide=False).fit(DATA.R, DATA.y)


def test_as_meta_learner_of_both_stacks():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    y = np.array(["a", "b"])[(X[:, 0] + rng.normal(size=200) > 1).astype(int)]
    models = [
        ("bayes", GaussianNB()),
        ("tree", DecisionTreeClassifier(max_depth=2)),
        ("line", LogisticRegression()),
    ]
    pipeline = StackingPipeline(models, meta=search(2), cv=3, random_state=0).fit(X, y)
    assert isinstance(pipeline.meta_.best_estimator_, CFEnsemble)
    stack = StackingClassifier(models, final_estimator=search(2), cv=3).fit(X, y)
    for stacked in (pipeline, stack):
        assert stacked.score(X, y) > 0.7


def test_pytorch_trials():
    pytest.importorskip("torch")
    fitted = search(3, trainers=["als", "pytorch"], cv=2).fit(DATA.R[:, :3], DATA.y)
    assert [trial.params["trainer"] for trial in fitted.study_.trials[:2]] == ["als", "pytorch"]


def test_as_meta_of_a_pipeline_it_is_shown_the_unlabelled_rows():
    """They take part in every factorisation, so the fitted ensemble differs from one on the
    labelled rows.
    """
    X, y = make_classification(n_samples=200, random_state=0)
    y = y.astype(float)
    y[120:] = np.nan
    models = [
        ("bayes", GaussianNB()),
        ("tree", DecisionTreeClassifier(max_depth=3, random_state=0)),
    ]
    stack = StackingPipeline(models, meta=search(1), cv=3, random_state=0).fit(X, y)
    rows = ~np.isnan(y)
    labelled_only = search(1).fit(stack.oof_[rows], y[rows])
    everything = stack.meta_.best_estimator_
    assert (
        np.abs(
            everything.classifier_factors_ - labelled_only.best_estimator_.classifier_factors_
        ).max()
        > 1e-6
    )


def test_a_refit_that_fails_or_is_interrupted_leaves_the_search_as_it_was():
    """New classes beside an old model would turn every prediction round."""

    def interrupt(study, trial):
        raise KeyboardInterrupt

    model = search(2).fit(DATA.R, DATA.y)
    before, expected = model.__dict__.copy(), model.predict(DATA.R)
    with pytest.raises(ValueError, match="inconsistent"):
        model.fit(DATA.R[:-1], 1 - DATA.y)
    assert model.__dict__ == before
    model.set_params(callbacks=[interrupt], n_trials=1, refit=True)
    with pytest.raises(ValueError, match="infinity"):
        model.fit(np.where(DATA.R > 0.5, np.inf, DATA.R), np.where(DATA.y == 1, "a", "b"))
    np.testing.assert_array_equal(model.predict(DATA.R), expected)


def test_columns_of_the_first_class_are_named_by_its_label():
    """Trials are fitted on codes, the refit on labels."""
    data = make_predictions(200, 4, random_state=0)
    names = np.array(["well", "sick"])[data.y]  # the columns are of "sick", the first in order
    settings = {"n_trials": 2, "cv": 2, "random_state": 0}
    straight = CFEnsembleSearch(**settings).fit(data.R, data.y)
    turned = CFEnsembleSearch(
        **settings, estimator=CFEnsemble(pos_label="sick"), pos_label="sick"
    ).fit(data.R, names)
    assert turned.best_score_ == pytest.approx(straight.best_score_, abs=1e-9)
    P = turned.predict_proba(data.R)
    np.testing.assert_allclose(P[:, 0], straight.predict_proba(data.R)[:, 1], atol=1e-9)
