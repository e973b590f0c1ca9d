"""What a fitted search shows of itself in a notebook."""

from cfens_stack.html import paragraph, table


def search_summary(search):
    """Of a fitted CFEnsembleSearch: what was tried, what was selected, and why."""
    states = [trial.state.name.lower() for trial in search.study_.trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    text = (
        f"{len(states)} trials ({counts}); selected {search.aims_[0]} {search.best_score_:.4f}, "
        f"standard error {search.best_standard_error_:.4f}"
    )
    rows = list(search.best_params_.items())
    if search.best_threshold_ is not None:
        rows.append(("threshold", f"{search.best_threshold_:.4f}"))
    report = f"The search {search.selection_report_}"
    return paragraph(text) + paragraph(report) + table(["parameter", "selected"], rows)
