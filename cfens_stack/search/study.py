"""The Optuna study of a search: opened or continued, its sampler, the configurations it begins
with.
"""

import copy
import os

import joblib
import numpy as np
from sklearn.utils import check_random_state

from cfens_stack.search.evaluation import fingerprint
from cfens_stack.search.pruning import HOPELESS_ROW_Z, FoldPruner


def draw_seed(random_state, R, y, *, from_data):
    """An int; derived from the data where workers that know nothing of each other have to draw the
    same folds.
    """
    if random_state is None and from_data:
        return int(joblib.hash((R, y))[:8], 16)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def open_study(storage, name, evaluation, space, *, sampler, pruner, seed, shared):
    """A new study, or the one of that name; its user attribute "data" says what it is of.

    Parameters
    ----------
    storage : optuna.storages.BaseStorage
    name : str or None
        None: a new study.
    evaluation : Evaluation
    space : Space
    sampler : optuna sampler or None
    pruner : optuna pruner
    seed : int
    shared : bool
        Whether other processes may be at work on the storage.

    Raises
    ------
    ValueError
        If the study was searched on other data, folds, scores or space.
    """
    import optuna

    study = optuna.create_study(
        storage=storage,
        study_name=name,
        load_if_exists=name is not None,
        directions=["maximize"] * len(evaluation.aims),
        pruner=copy.deepcopy(pruner),
    )
    data_key = fingerprint(evaluation, space)
    known = study.user_attrs.get("data")
    if known is None:
        study.set_user_attr("data", data_key)
    elif known != data_key:
        raise ValueError(
            f"study_name={name!r} in this storage was searched on other data, folds, scoring or "
            "space. Pass the same R, y, cv, scoring, pos_label, guide, trainers, space, estimator, "
            "random_state to continue it, or another study_name."
        )
    if sampler is not None:
        study.sampler = copy.deepcopy(sampler)
        return study
    # Workers that share a storage, and continued studies, must not draw what was drawn before.
    trials = study.get_trials(deepcopy=False)
    entropy = [seed, len(trials)]
    if shared or any(trial.state.name == "RUNNING" for trial in trials):
        entropy += [os.getpid(), int.from_bytes(os.urandom(4), "little")]
    study.sampler = new_sampler(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
    return study


def default_pruner(overlap, selection):
    """The pruner of a search that was given none: what gains nothing in log score can be of use to
    the other selections only.
    """
    least_row_z = HOPELESS_ROW_Z if selection == "beyond-noise" else -np.inf
    return FoldPruner(overlap, least_row_z=least_row_z)


def new_sampler(seed):
    """The sampler of a search that was given none."""
    import optuna

    return optuna.samplers.TPESampler(seed=seed, constant_liar=True)


def first_configurations(space, base, guidance, trainers):
    """The default configuration, then the guide's, in Optuna's terms: list of dict.

    Parameters
    ----------
    space : Space
    base : CFEnsemble
        Parameters that are not searched.
    guidance : Guidance
    trainers : sequence of str
    """
    defaults = base.get_params(deep=False)
    configurations = [{**defaults, "trainer": trainer} for trainer in trainers]
    for guide in ("published", "measured"):
        for trainer in trainers:
            advice = guidance.following(guide).params(trainer)
            configurations.append({**defaults, **advice})
    for configuration in configurations:
        if configuration["use_label_aware_confidence"] == "auto":
            configuration["use_label_aware_confidence"] = guidance.is_imbalanced
    encoded = [space.encode(configuration) for configuration in configurations]
    return [one for place, one in enumerate(encoded) if one not in encoded[:place]]
