"""Write docs/faults.md, the table of faults, from fault_cases.py: python tests/fault_page.py"""

from pathlib import Path

from bad_input_page import escaped
from fault_cases import SECTIONS

PAGE = Path(__file__).parent.parent / "docs" / "faults.md"
HEAD = """# Faults

What can break during a run, {n} faults, and what happens then. Each is made to happen by the test in
its row. The table is written by `tests/fault_page.py` from `tests/fault_cases.py`. What is refused from
the start is on the page of [errors](errors.md); what a result looks like that is not an error, and what
to do, on that of [failure modes](failure_modes.md).
"""


def page():
    """The page as text."""
    parts = [HEAD.format(n=sum(map(len, SECTIONS.values())))]
    for title, faults in SECTIONS.items():
        rows = [f"| {fault.what} | {fault.outcome} | {guard(fault)} |" for fault in faults]
        parts.append(
            f"## {title}\n\n| what breaks | what happens | guarded by |\n|---|---|---|\n"
            + "\n".join(rows)
            + "\n"
        )
    return "\n".join(parts)


def guard(fault):
    """The test's name, and which of its cases, without its file."""
    name, _, case = fault.guard.partition("::")[2].partition("[")
    return f"`{name}`" + (f", {escaped(case[:-1])}" if case else "")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
