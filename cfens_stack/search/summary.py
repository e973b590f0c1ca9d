"""What a fitted search shows of itself in a notebook."""

from cfens_stack.html import paragraph, table


def search_summary(search):
    """Of a fitted CFEnsembleSearch: what was tried, and what was selected."""
    states = [trial.state.name.lower() for trial in search.study_.trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    text = (
        f"{len(states)} trials ({counts}); best {search.scoring} {search.best_score_:.4f}, "
        f"standard error {search.best_standard_error_:.4f}; selected by {search.selection!r}"
    )
    return paragraph(text) + table(["parameter", "selected"], list(search.best_params_.items()))
