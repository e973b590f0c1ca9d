"""The decision guide in words: its tree with the path taken, and the reasons."""

import textwrap

import numpy as np

from cfens_stack.ensemble.training import imbalanced_below
from cfens_stack.guide.measured import MEASURED, SWITCHES

HIGH_DISAGREEMENT = 0.28  # upper quartile of real sets with the default pool; docs/guide.md
FOCAL_GAMMA = 2.0
LAMBDA_REG = 0.01
LARGEST_RANK = 32  # of the advice: a sweep costs the square of the rank a cell
GUIDES = ("published", "measured")
TRAINERS = {"als": "ALS", "pytorch": "PyTorch"}


TRAINER_REASONS = {
    "als": "ALS, for speed: closed-form sweeps, in numpy alone.",
    "pytorch": (
        "PyTorch, for exactness: gradients carry the loss to every parameter, on the CPU or a GPU."
    ),
}


def reasons(guidance):
    """A sentence for each decision and each measured effect: tuple of str."""
    if guidance.guide == "measured":
        decisions: tuple = (
            "What measured best leaves class weights and focal loss off: under imbalance they cost "
            "average precision and log loss, and a threshold moves decisions better.",
        )
    else:
        decisions = (_imbalance_reason(guidance), _disagreement_reason(guidance))
    return (
        *decisions,
        TRAINER_REASONS[guidance.trainer],
        _rank_reason(guidance),
        _rho_reason(guidance),
        worth(guidance),
        *(
            f"Measured on real sets, {SWITCHES[name]} alone, {effect}."
            for name, effect in guidance.evidence.items()
        ),
    )


def worth(guidance):
    """What following the advice was worth on real sets, in a sentence: str."""
    published, measured = (guidance.following(guide) for guide in GUIDES)
    if published.params() == measured.params():
        return "For data like these the published method and what measured best advise the same."
    effect = MEASURED[guidance.trainer, "advice"]
    if guidance.guide == "published":
        return (
            f"Measured on real sets, following the published advice {effect.change(1)} against "
            "what measured best, which guide='measured' gives."
        )
    return (
        f"Measured on real sets, following what measured best {effect.change(-1)} against the "
        "published advice, which guide='published' gives."
    )


def tree(guidance):
    """Each question with its answers; "==>" leads along the path taken."""
    below = imbalanced_below(guidance.n_classes)
    questions = [
        (
            f"rarest class {guidance.imbalance:.1%}: below {below:.1%}?",
            "class weights, under ALS label-aware confidence too",
            "neither class weights nor label-aware confidence",
            guidance.is_imbalanced,
        ),
        (
            f"disagreement {guidance.disagreement:.2f}: at least {HIGH_DISAGREEMENT:g}?",
            f"focal loss, focal_gamma={FOCAL_GAMMA:g}",
            "log loss, focal_gamma=0",
            guidance.is_high_disagreement,
        ),
        (
            "exactness before speed, or a GPU?",
            "trainer='pytorch'",
            "trainer='als'",
            guidance.trainer == "pytorch",
        ),
    ]
    lines = [
        f"Guidance for {guidance.n_models} models, {guidance.n_rows} rows, {guidance.n_classes} "
        f"classes, {guidance.labelled_share:.0%} of the rows labelled, "
        f"{guidance.missing_share:.0%} of the cells missing"
    ]
    if guidance.guide == "measured":
        questions = questions[2:]  # the others change nothing
    for question, yes, no, answer in questions:
        lines += [
            question,
            f"  |{'==> YES' if answer else '--- yes'}  {yes}",
            f"  |{'--- no ' if answer else '==> NO '}  {no}",
            "  v",
        ]
    settings = ", ".join(f"{name}={value!r}" for name, value in guidance.params().items())
    return "\n".join(
        [*lines, textwrap.fill(f"CFEnsemble({settings})", 100, subsequent_indent=" " * 11)]
    )


def _imbalance_reason(guidance):
    below = imbalanced_below(guidance.n_classes)
    figures = (
        f"The rarest of {guidance.n_classes} classes has {guidance.imbalance:.1%} of the labels"
    )
    if guidance.is_imbalanced:
        return (
            f"{figures}, below {below:.1%}: class weights make it count as much as the "
            "others; under ALS, which has no gradient to carry them to the factors, "
            "label-aware confidence stands in."
        )
    return f"{figures}, not below {below:.1%}: no class weights."


def _disagreement_reason(guidance):
    if np.isnan(guidance.disagreement):
        return "The columns are scores, whose disagreement has no scale: log loss."
    figures = f"{guidance.disagreement:.2f} of the predictive variance lies between models"
    if guidance.is_high_disagreement:
        return (
            f"{figures}, {HIGH_DISAGREEMENT:g} or more: focal loss turns the aggregator to the "
            "contested rows."
        )
    return f"{figures}, less than {HIGH_DISAGREEMENT:g}: log loss."


def _rank_reason(guidance):
    rank = min(guidance.n_columns, LARGEST_RANK)
    if rank < guidance.n_columns:
        return (
            f"latent_dim={rank} of {guidance.n_columns} columns keeps sweeps cheap; raise it if "
            "time allows."
        )
    return (
        f"Full rank, latent_dim={rank}, with lambda_reg={LAMBDA_REG:g}: lower ranks predicted "
        "worse, on complete and on incomplete predictions."
    )


def _rho_reason(guidance):
    if guidance.guide == "measured":
        return "rho=0.5: nothing came of fitting it to the share of labelled rows."
    if guidance.labelled_share == 1.0:
        return "Every row is labelled: reconstruction and supervision weigh the same, rho=0.5."
    return (
        f"{guidance.labelled_share:.1%} of the rows are labelled: rho={guidance.params()['rho']:g} "
        "lets a labelled row weigh as much in supervision as any row in reconstruction."
    )
