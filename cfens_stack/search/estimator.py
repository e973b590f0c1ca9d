"""CFEnsembleSearch: hyperparameters of CFEnsemble by Optuna, along the decision guide."""

import logging

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import validate_data

from cfens_stack.all_or_nothing import all_or_nothing
from cfens_stack.guide.guidance import recommend
from cfens_stack.row_order import warn_of_another_order
from cfens_stack.search.evaluation import make_evaluation
from cfens_stack.search.passwords import hide_password
from cfens_stack.search.results import SearchResults
from cfens_stack.search.running import at_work, run_beside_helpers
from cfens_stack.search.selection import ConfigurationAverage, no_result, ranked_trials, select
from cfens_stack.search.settings import (
    CONSTRAINTS,
    base_estimator,
    check_settings,
    check_trainers,
    positive_code,
)
from cfens_stack.search.space import SEARCH_SPACE, fit_space
from cfens_stack.search.storage import is_shared, open_storage
from cfens_stack.search.study import default_pruner, draw_seed, first_configurations, open_study
from cfens_stack.search.trials import Objective
from cfens_stack.validation import check_groups, check_weights, encode_labels, filled

logger = logging.getLogger(__name__)


class CFEnsembleSearch(SearchResults):
    """CFEnsemble with hyperparameters found by Optuna, in a search space that follows the decision
    guide.

    The first trials are the default configuration and the guide's; the others are proposed by a
    tree-structured Parzen estimator. Each is scored by cross-validation on rows of R. The default
    is left only for a configuration whose gain exceeds the noise. Trials are kept in a study that
    can be stored, shared by several processes, and continued after an interruption.

    Parameters
    ----------
    n_trials : int or None, default=50
        Total of the study, trials of other workers and of earlier fits included. None: no limit but
        `timeout`, seconds after which no trial is started.
    timeout : float, default=None
    cv : int, splitter or iterable of (train, test), default=5
        An int: shuffled stratified folds, which keep groups together; drawn up to four times,
        shuffled anew, while the rarest class has fewer than 100 rows in all of them together. Rows
        without a label are in every training part and in no test part.
    scoring : str, callable, or tuple of them, default="average_precision"
        Name of a scikit-learn scorer, computed on class codes, or a scorer `(estimator, R, y) ->
        float`, on the labels as given. Greater is better. Several: a study of several objectives,
        whose Pareto front is `pareto_front_`; the first of them decides between configurations
        that are otherwise acceptable. With two classes, scores of decisions (balanced accuracy, F1,
        Jaccard, Matthews, `make_scorer` of a metric of classes, `cfens_stack.search.NegativeCost`
        and `RecallAtPrecision`) are those at the best threshold.
    pos_label : label, default=None
        Class that scores by name take for positive. None: `classes_[1]`, as in scikit-learn.
    trainers : "auto" or sequence of {"als", "pytorch"}, default="auto"
        Trainers to search. "auto": ALS only, the faster one.
    guide : bool, default=True
        Ask class weights and label-aware confidence only if classes are imbalanced, focal loss only
        if the models disagree, and small rho not if few rows are labelled. False: ask everything.
    storage : str, path or optuna storage, default=None
        Where trials are kept. None: in memory. "sqlite:///trials.db": for one process at a time. A
        path object, a str ending in .log, .journal or .jsonl, or "journal:///path": a journal file,
        for several processes of a machine. "postgresql+psycopg://user@host/database": for several
        machines. Passwords do not show in reprs; better, keep them out of the URL, in ~/.pgpass or
        PGPASSWORD.
    study_name : str, default=None
        With a storage, the study to continue if it exists. Without name or storage each fit starts
        afresh.
    sampler, pruner : optuna sampler and pruner, default=None
        None: `TPESampler`, and `cfens_stack.search.pruning.FoldPruner`, which stops a trial whose
        folds are significantly behind those of the best.
    n_jobs : int, default=1
        Trials that run at once: in processes if the storage is a journal or a database server, else
        in threads. -1: all cores.
    refit : bool, default=True
        Fit the selected configuration on all rows; prediction needs it.
    show_progress_bar : bool, default=False
        tqdm bar over the trials of the study.
    callbacks : list of callables (study, trial) -> None, default=None
        Called after each trial; may call `study.stop()`.
    random_state : int, RandomState instance or None, default=None
        Seed of folds and sampler. None with a storage and a study name: derived from the data, so
        that workers agree.
    estimator : CFEnsemble, default=None
        Parameters that the search leaves alone: layout, posterior, max_iter, and others. None:
        `CFEnsemble()`.
    space : sequence of Param, default=None
        Search space instead of `cfens_stack.search.space.SEARCH_SPACE`; build on it to extend it.
    selection : {"beyond-noise", "best", "one-standard-error", "average"}, default="beyond-noise"
        What is refitted. "beyond-noise": the default configuration, unless the log score of another
        gains more than one corrected standard error over the same folds and no score searched by
        falls; of those the best. "best": the trial with the best mean score. "one-standard-error":
        the simplest within one standard error of it. "average": the mean of the probabilities of
        the `n_average` best.
    n_average : int, default=5

    Attributes
    ----------
    best_estimator_ : CFEnsemble or ConfigurationAverage
        Fitted on all rows. With `refit=True`.
    best_params_ : dict
        Parameters of CFEnsemble of the selected trial; with "average", of the best one.
    best_score_ : float
        Its mean score over the folds, of the first aim.
    best_standard_error_ : float
    best_threshold_ : float or None
        Where a score of decisions was searched by: probability of the positive class from which
        `predict` says so, the best on the out-of-fold probabilities of all folds together. None:
        the most probable class.
    selection_report_ : str
        What was selected and why, such as "kept the default: the best of 49 other trials gains
        0.0004 +- 0.0011 in neg_log_loss."
    study_ : optuna.Study
    guidance_ : Guidance
    space_ : Space
        The search space fitted to the data; `space_.decode(trial.params)` gives parameters of
        CFEnsemble.
    classes_ : ndarray of shape (K,)
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (m,)
        If R was a data frame with string columns.

    Notes
    -----
    With n_jobs=1, no timeout and an int as `random_state`, the same data give the same trials. With
    several workers the folds stay the same, but what is proposed depends on which trials have
    ended.

    Ctrl-C ends the search; what has been finished is used for the refit. A fit is killed without
    harm too: fit again with the same storage and study name, and only what is missing is done.

    References
    ----------
    T. Akiba et al. (2019), "Optuna: a next-generation hyperparameter optimization framework", KDD.

    Examples
    --------
    >>> from cfens_stack import CFEnsembleSearch
    >>> from cfens_stack.datasets import make_predictions
    >>> data = make_predictions(n_samples=400, n_models=8, random_state=0)
    >>> search = CFEnsembleSearch(n_trials=4, cv=3, random_state=0).fit(data.R, data.y)
    >>> len(search.study_.trials), search.predict_proba(data.R).shape
    (4, (400, 2))
    """

    takes_unlabelled_rows = True

    _parameter_constraints: dict = CONSTRAINTS

    def __init__(
        self,
        n_trials=50,
        *,
        timeout=None,
        cv=5,
        scoring="average_precision",
        pos_label=None,
        trainers="auto",
        guide=True,
        storage=None,
        study_name=None,
        sampler=None,
        pruner=None,
        n_jobs=1,
        refit=True,
        show_progress_bar=False,
        callbacks=None,
        random_state=None,
        estimator=None,
        space=None,
        selection="beyond-noise",
        n_average=5,
    ):
        self.n_trials = n_trials
        self.timeout = timeout
        self.cv = cv
        self.scoring = scoring
        self.pos_label = pos_label
        self.trainers = trainers
        self.guide = guide
        # The same object, or a str that differs in its repr only.
        self.storage = hide_password(storage)
        self.study_name = study_name
        self.sampler = sampler
        self.pruner = pruner
        self.n_jobs = n_jobs
        self.refit = refit
        self.show_progress_bar = show_progress_bar
        self.callbacks = callbacks
        self.random_state = random_state
        self.estimator = estimator
        self.space = space
        self.selection = selection
        self.n_average = n_average

    def set_params(self, **params):
        """Set parameters by name, as in scikit-learn; a password in `storage` stays hidden."""
        if "storage" in params:
            params["storage"] = hide_password(params["storage"])
        return super().set_params(**params)

    def fit(self, R, y, sample_weight=None, groups=None):
        """Search, then fit the selected configuration on all rows.

        Parameters
        ----------
        R : array-like of shape (n, m)
            Out-of-fold predictions, NaN where missing; see `CFEnsemble.fit`.
        y : array-like of shape (n,)
            Class labels, missing for rows without.
        sample_weight, groups : array-like of shape (n,), default=None
            Weights for fits and scorers; rows of a group stay on one side of a fold.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If R, y, weights, folds or a parameter cannot be used, the stored study belongs to other
            data, or every trial failed; the message then holds the reasons. TypeError: callback,
            sampler or pruner. OSError: storage.
        """
        with all_or_nothing(self):
            self._fit(R, y, sample_weight, groups)
        return self

    def _fit(self, R, y, sample_weight, groups):
        self._validate_params()
        check_settings(self)
        warn_of_another_order("R", R, y=y, sample_weight=sample_weight, groups=groups)
        R = validate_data(self, filled(R), dtype=np.float64, ensure_all_finite="allow-nan")
        self.classes_, codes = encode_labels(y)
        groups = check_groups(groups, R)
        check_consistent_length(R, codes)
        v = check_weights(sample_weight, R, codes, self.classes_)
        positive = positive_code(self.scoring, self.pos_label, self.classes_, codes)
        base = base_estimator(self.estimator, R, len(self.classes_))
        self.guidance_ = recommend(R, y, sample_weight=v, layout=base.layout)
        from_data = self.storage is not None and self.study_name is not None
        seed = draw_seed(self.random_state, R, codes, from_data=from_data)
        settings = {"cv": self.cv, "scoring": self.scoring, "seed": seed, "positive": positive}
        evaluation = make_evaluation(base, R, codes, self.classes_, v, groups, **settings)
        selected = self._select(self._search(evaluation, seed), evaluation)
        if self.refit:
            models = [clone(base).set_params(**params) for params in selected]
            self.best_estimator_ = models[0] if len(models) == 1 else ConfigurationAverage(models)
            self.best_estimator_.fit(R, y, sample_weight=v)

    def _search(self, evaluation, seed):
        """Open the study and run its trials; the default configuration, in Optuna's terms."""
        trainers = check_trainers(self.trainers)
        rows = SEARCH_SPACE if self.space is None else self.space
        n_columns = evaluation.R.shape[1]
        self.space_ = fit_space(rows, trainers, self.guidance_, n_columns, guided=self.guide)
        storage, shared = open_storage(self.storage), is_shared(self.storage)
        pruner = self.pruner or default_pruner(evaluation.overlap, self.selection)
        parts = {"sampler": self.sampler, "pruner": pruner, "seed": seed, "shared": shared}
        with at_work():
            self.study_ = open_study(storage, self.study_name, evaluation, self.space_, **parts)
        first = first_configurations(self.space_, evaluation.estimator, self.guidance_, trainers)
        run_beside_helpers(
            self.study_,
            Objective(self.space_, evaluation, first[0], self.n_trials),
            first,
            storage=self.storage,
            sampler=self.sampler,
            n_jobs=joblib.effective_n_jobs(self.n_jobs),
            show_progress_bar=self.show_progress_bar,
            worker={"timeout": self.timeout, "callbacks": list(self.callbacks or ())},
        )
        return first[0]

    def _select(self, default, evaluation):
        """Configurations to be refitted; sets the attributes that tell of them."""
        trials = ranked_trials(self.study_)
        if not trials:
            raise ValueError(no_result(self.study_))
        self.aims_ = tuple(aim.name for aim in evaluation.aims)
        parts = {"default": default, "space": self.space_, "overlap": evaluation.overlap}
        parts |= {"aims": self.aims_, "n_average": self.n_average}
        selection = select(trials, self.selection, **parts)
        best = selection.trials[0]
        self.selected_trials_ = [trial.number for trial in selection.trials]
        self.selection_report_ = selection.report
        logger.info("CFEnsembleSearch %s", selection.report)
        self.best_params_ = self.space_.decode(best.params)
        self.best_score_ = float(best.values[0])
        self.best_standard_error_ = float(best.user_attrs["standard_error"])
        self.best_threshold_ = best.user_attrs.get("threshold")
        return [self.space_.decode(trial.params) for trial in selection.trials]
