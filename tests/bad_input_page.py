"""Write docs/errors.md, the table of errors, from bad_input_cases.py: python
tests/bad_input_page.py
"""

from pathlib import Path

from bad_input_cases import SECTIONS

PAGE = Path(__file__).parent.parent / "docs" / "errors.md"
HEAD = """# Errors

What each kind of bad input gets, {n} cases. A message says what was passed, what is valid and, where it is ours and not
scikit-learn's, what to do. "…" stands for what differs from case to case. Each row is a test: the table is written by
`tests/bad_input_page.py` from `tests/bad_input_cases.py`, the list that `tests/test_bad_input.py` runs.

What no error is raised for, because it can be carried on with, is on the page of
[failure modes](failure_modes.md); what can break during a run is on that of [faults](faults.md).
"""


def page():
    """The page as text."""
    parts = [HEAD.format(n=sum(map(len, SECTIONS.values())))]
    for title, cases in SECTIONS.items():
        rows = [
            f"| {escaped(case.what)} | `{case.error.__name__}` | {escaped(case.message)} |"
            for case in cases
        ]
        parts.append(
            "\n".join([f"## {title}\n", "| passed | error | message |", "|---|---|---|", *rows])
            + "\n"
        )
    return "\n".join(parts)


def escaped(text):
    """Text as it stands, between the bars of a Markdown table."""
    for character in "\\|*_<>`[]":
        text = text.replace(character, f"\\{character}")
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
