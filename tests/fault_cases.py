"""Faults, one by one: what can go wrong during a run, what happens then, and the test that makes it
happen. The one list behind docs/faults.md; tests/test_fault_cases.py holds it to the tests.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """What breaks; what then happens and what is kept; the test that breaks it, by its node id
    below tests/.
    """

    what: str
    outcome: str
    guard: str


def in_worker(what, how, reason):
    """A base model that misbehaves in one fold, in a worker."""
    name = "test_a_base_model_that_breaks_in_a_worker_loses_its_cells_only"
    outcome = f"a warning, a missing cell for each of its rows, an entry in `failures_`: {reason}"
    return Fault(what, outcome, f"test_faults.py::{name}[{how}]")


def foreign(what, kind):
    """Another program's record at the end of a journal."""
    name = "test_a_journal_that_ends_in_a_foreign_record_is_refused_and_left_as_it_is"
    outcome = "refused, the file is left as it is; goes on once the line is taken out"
    return Fault(what, outcome, f"search/test_journal.py::{name}[{kind}]")


def damaged_cache(what, how):
    """An entry of the cache of base models that is not what was written."""
    name = "test_a_damaged_cache_is_computed_again"
    return Fault(what, "that model is fitted again", f"test_faults.py::{name}[{how}]")


# fmt: off

BASE_MODELS = [
    in_worker("raises in one fold", "raise", "the error"),
    in_worker("calls `exit`", "exit", "`SystemExit`"),
    in_worker("ends its process (a crash in native code)", "abort", "the process that fitted it died"),
    Fault("is killed, for instance by the system when memory runs out", "its cells of that fold are missing; the other models, which lost their workers too, are fitted again", "stacking/test_fits.py::test_only_the_fits_that_break_the_workers_are_lost[kill]"),
    in_worker("runs out of memory", "memory", "`MemoryError`"),
    in_worker("ends itself after a time of its own", "time", "`TimeoutError`"),
    in_worker("returns predictions of too few rows", "shape", "both shapes"),
    in_worker("knows other classes than the labels", "classes", "both lists of classes"),
    in_worker("returns NaN for some rows", "nan", "how many; only these cells are missing"),
    Fault("returns infinite values for some rows", "these cells are missing", "stacking/test_pipeline.py::test_a_failure_in_one_fold_leaves_its_cells_missing[inf]"),
    in_worker("returns probabilities that do not sum to 1", "sums", "how many, and the first"),
    Fault("cannot be pickled once it is fitted", "it is lost, with a warning; nothing else is", "stacking/test_fits.py::test_only_the_fits_that_break_the_workers_are_lost[unpicklable]"),
    Fault("fails in the fit on all rows", "it is lost: no column, no weight, `None` in `estimators_`, a warning that says so", "stacking/test_pipeline.py::test_a_model_without_final_fit_is_lost"),
    Fault("fails in every fold, and so do all others", "an error with the reason of each", "stacking/test_pipeline.py::test_without_any_model_left_the_error_has_every_reason"),
    Fault("fails on new rows", "a warning; the rows are predicted from the others", "stacking/test_pipeline.py::test_a_model_that_cannot_predict_new_rows_is_left_out"),
    Fault("abstains from rows, as all others do", "what is said of a row without predictions", "stacking/test_caught_warnings.py::test_rows_that_every_model_abstains_from_are_missing_cells"),
    Fault("warns in its fits", "one warning names the model and the folds", "stacking/test_caught_warnings.py::test_one_line_per_model_with_the_folds[loky]"),
    Fault("breaks its worker, with `on_failure='raise'`", "an error that names the models that were on their way", "stacking/test_fits.py::test_a_breakdown_under_raise_names_the_suspects"),
    Fault("fails once, and the fit is repeated with `memory=`", "a failure is not cached: it is tried again", "stacking/test_fits.py::test_failures_are_not_cached"),
    Fault("came fitted (`cv='prefit'`) but is not, or knows other labels", "it is lost, with the reason", "stacking/test_prefit.py::test_models_that_are_not_fitted_or_know_other_labels_are_lost_with_the_reason"),
    Fault("takes longer than `time_limit` leaves", "no further fit is started; what is missing is listed", "stacking/test_time_limit.py::test_what_is_not_fitted_in_time_is_missing_and_listed[2]"),
    Fault("takes all of `time_limit`, so that no model is whole", "an error that says why", "stacking/test_time_limit.py::test_without_anything_whole_the_error_says_why"),
]

RUNS = [
    Fault("Ctrl-C during a fit in two processes", "`KeyboardInterrupt`; no process or temporary file is left; with `memory=` no finished fit is repeated", "test_faults.py::test_a_fit_that_is_ended_leaves_what_is_finished_and_nothing_else[Ctrl-C]"),
    Fault("a fit in two processes is killed", "its workers end too; with `memory=` no finished fit is repeated", "test_faults.py::test_a_fit_that_is_ended_leaves_what_is_finished_and_nothing_else[SIGKILL]"),
    Fault("a fit in one process is killed", "with `memory=` no finished fit is repeated", "stacking/test_fits.py::test_a_run_that_was_killed_goes_on_where_it_was"),
    Fault("a worker is killed from outside", "what it was fitting is fitted again", "test_faults.py::test_a_worker_that_is_killed_from_outside[1]"),
    Fault("a model hangs, and its worker is killed twice", "it is given up in that fold: missing cells", "test_faults.py::test_a_worker_that_is_killed_from_outside[2]"),
    Fault("Ctrl-C during a refit of the pipeline", "it is what it was before", "stacking/test_refits.py::test_a_refit_that_ends_early_leaves_the_object_as_it_was[KeyboardInterrupt()]"),
    Fault("an error during a refit of the pipeline", "it is what it was before", "stacking/test_refits.py::test_a_refit_that_ends_early_leaves_the_object_as_it_was[RuntimeError('boom')]"),
    Fault("the meta-learner fails once the base models are refitted", "the pipeline keeps the old ones", "stacking/test_refits.py::test_a_meta_learner_that_fails_leaves_the_old_base_models"),
    Fault("`refit_meta` fails", "the pipeline is what it was before, its parameter `meta` too", "stacking/test_refits.py::test_a_failed_refit_of_the_meta_learner_leaves_the_parameter_too[fails]"),
    Fault("the meta-learner fails in a first fit", "the pipeline is not fitted", "stacking/test_refits.py::test_a_refused_first_fit_leaves_an_object_that_is_not_fitted"),
]

CACHE = [
    Fault("the disk of `memory` is full", "the run goes on without, with a warning; no half results are left", "test_faults.py::test_a_full_disk_while_caching_costs_the_cache_only"),
    damaged_cache("an entry holds something else", "garbage"),
    damaged_cache("an entry is empty", "empty"),
    damaged_cache("an entry is cut short", "truncated"),
    damaged_cache("the metadata of an entry are gone", "no metadata"),
    damaged_cache("the metadata of an entry are cut short", "broken metadata"),
]

SEARCHES = [
    Fault("Ctrl-C during a search in two processes", "it goes on with the trials that are finished; a later search continues", "test_faults.py::test_a_search_that_is_ended_can_be_continued[Ctrl-C]"),
    Fault("a search in two processes is killed", "the finished trials are kept; a later search continues", "test_faults.py::test_a_search_that_is_ended_can_be_continued[SIGKILL]"),
    Fault("a helper of a search is killed", "a warning; its trial is repeated", "test_faults.py::test_a_helper_of_a_search_that_is_killed_is_done_without"),
    Fault("two of three workers on a journal are killed", "the third repeats what they left open; no trial is lost or counted twice", "search/test_search_recovery.py::test_three_workers_two_of_them_killed[journal]"),
    Fault("a worker on SQLite is killed in a trial", "the trial is closed and repeated", "search/test_search_recovery.py::test_one_process_on_sqlite_killed_and_started_again[mid-trial]"),
    Fault("a worker on SQLite is killed between trials", "nothing is lost", "search/test_search_recovery.py::test_one_process_on_sqlite_killed_and_started_again[between]"),
    Fault("a worker on a journal is killed at any moment", "the journal can be continued, with all that was finished", "search/test_search_recovery.py::test_kill_at_any_moment_leaves_a_journal_that_can_be_continued"),
    Fault("the machine is started anew, and the process id of a dead worker is another's", "its trial is closed all the same", "search/test_workers.py::test_a_trial_is_stale_when_its_process_has_ended"),
    Fault("a worker cannot be seen, since it is in another container", "it is not taken for dead", "search/test_workers.py::test_a_live_worker_in_another_pid_namespace_keeps_its_trial"),
    Fault("four workers make the tables of one SQLite file at once", "all of them start", "search/test_workers.py::test_workers_that_start_together_on_a_fresh_sqlite_file"),
    Fault("Ctrl-C in the middle of a trial", "the trial is repeated by the next search", "search/test_search.py::test_interrupted_trial_is_redone"),
    Fault("a scorer raises or returns NaN in some trials", "they count as failed, with the reason in the study", "search/test_search.py::test_failed_trials_and_nan_scores_are_recorded_and_do_not_end_the_study"),
    Fault("every trial fails", "an error with each reason", "search/test_search.py::test_nothing_but_failures_raises_with_the_reasons"),
    Fault("a refit of a search fails or is interrupted", "the search is what it was before", "search/test_search.py::test_a_refit_that_fails_or_is_interrupted_leaves_the_search_as_it_was"),
    Fault("the default itself cannot be fitted", "the best of the others is taken", "search/test_selection.py::test_a_default_that_cannot_be_fitted_is_not_compared_with"),
]

STORAGE = [
    Fault("the disk of a journal is full", "`OSError`; the search continues from it once there is room", "test_faults.py::test_a_full_disk_ends_a_search_which_then_continues[journal]"),
    Fault("the disk of a SQLite file is full", "`OSError`; the search continues from it once there is room", "test_faults.py::test_a_full_disk_ends_a_search_which_then_continues[sqlite]"),
    Fault("a SQLite file is cut short", "refused, and left as it is", "test_faults.py::test_a_damaged_study_is_named_and_left_as_it_is[cut short]"),
    Fault("a part of a SQLite file is overwritten", "refused, and left as it is", "test_faults.py::test_a_damaged_study_is_named_and_left_as_it_is[overwritten]"),
    Fault("a worker dies while it writes a record of a journal", "the half record is dropped; all trials are kept", "search/test_journal.py::test_a_torn_last_record_is_dropped[half a record]"),
    Fault("the power goes, and a journal ends in zeros", "they are dropped; all trials are kept", "search/test_journal.py::test_a_torn_last_record_is_dropped[zeros]"),
    Fault("a worker dies while another has the journal open", "the other drops the half record before it writes", "search/test_journal.py::test_a_writer_drops_what_a_killed_one_left"),
    foreign("another program's record of the same format ends a journal", "an event"),
    foreign("a record of a later version of Optuna ends a journal", "an unknown operation"),
    foreign("a line of text ends a journal", "text"),
    foreign("half a line of text ends a journal", "half a line"),
    Fault("a broken record stands in the middle of a journal", "refused, with the number of the line", "search/test_journal.py::test_a_foreign_record_further_up_is_named_by_its_line"),
    Fault("another program writes into the journal during a search", "`OSError` in words; continues once the line is taken out", "search/test_journal.py::test_a_foreign_record_written_during_a_search_ends_it_in_plain_words[text]"),
]

FITS = [
    Fault("the GPU that `device` names is not there", "`ValueError`, of a search too", "test_faults.py::test_an_absent_gpu_is_named_by_the_fit_and_by_the_search"),
    Fault("PyTorch is not installed", "`ImportError` names the extra; ALS works", "ensemble/test_pytorch.py::test_without_torch_als_works_and_pytorch_names_the_extra"),
    Fault("ALS runs out of sweeps", "`ConvergenceWarning` names the remedy", "ensemble/test_als.py::test_too_few_sweeps_warn_and_name_the_remedy"),
    Fault("PyTorch runs out of steps", "`ConvergenceWarning`, `converged_` is False", "ensemble/test_pytorch.py::test_running_out_of_steps_is_not_convergence"),
    Fault("float32 loses digits", "a warning that names float64", "ensemble/test_als.py::test_float32_warns_where_it_loses_digits"),
    Fault("a thread of the kernel raises", "the error reaches the caller", "kernels/test_threads.py::test_an_error_in_a_thread_is_raised"),
]

# fmt: on

SECTIONS = {
    "A base model": BASE_MODELS,
    "A run of the pipeline": RUNS,
    "The cache of base models": CACHE,
    "A search": SEARCHES,
    "The storage of a search": STORAGE,
    "A fit of the ensemble": FITS,
}
