"""The list of faults, docs/faults.md and the tests say the same."""

import subprocess
import sys

import pytest
from documents import ROOT
from fault_cases import SECTIONS
from fault_page import PAGE, page

FAULTS = [fault for faults in SECTIONS.values() for fault in faults]


@pytest.fixture(scope="module")
def collected():
    """Node ids of the tests in the files that the list names."""
    files = sorted({f"tests/{fault.guard.partition('::')[0]}" for fault in FAULTS})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *files]
    run = subprocess.run(
        [*command, "-p", "no:cacheprovider"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {line.removeprefix("tests/") for line in run.stdout.splitlines() if "::" in line}


def test_every_fault_is_made_to_happen_by_a_test(collected):
    files = {name.partition("::")[0] for name in collected}  # less those whose package is missing
    guards = {fault.guard for fault in FAULTS if fault.guard.partition("::")[0] in files}
    assert len(files) >= 10
    assert not guards - collected


def test_every_test_in_test_faults_is_in_the_list(collected):
    names = {fault.guard.partition("[")[0] for fault in FAULTS}
    tests = {name.partition("[")[0] for name in collected if name.startswith("test_faults.py")}
    assert tests <= names


def test_no_fault_twice():
    assert len({fault.guard for fault in FAULTS}) == len(FAULTS) >= 60
    for title, faults in SECTIONS.items():
        assert len({fault.what for fault in faults}) == len(faults), title


def test_the_page_of_faults_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run python tests/fault_page.py"
