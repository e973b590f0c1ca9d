"""The documents say what is so: their code runs, the tests and files they name exist."""

import re

import pytest
from documents import ROOT, blocks, read, run

PACKAGE = ROOT / "cfens_stack"


@pytest.mark.parametrize(
    "code", blocks("CONTRIBUTING.md"), ids=range(len(blocks("CONTRIBUTING.md")))
)
def test_examples_of_contributing_run(code):
    assert len(code.splitlines()) <= 20
    run("CONTRIBUTING.md", code, {})


def test_failure_modes_name_tests_that_exist():
    defined = {
        name
        for path in ROOT.glob("tests/**/*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    rows = [
        line.strip("| ").split(" | ")
        for line in read("docs/failure_modes.md").splitlines()
        if "`test_" in line
    ]
    assert len(rows) > 25
    for symptom, cause, remedy, guard in rows:
        assert min(map(len, (symptom, cause, remedy))) > 5, symptom
        assert set(re.findall(r"`(test_\w+)`", guard)) <= defined, guard


def test_docstrings_cite_equations_that_the_method_page_numbers():
    numbered = re.findall(r"\\tag\{(\d)\}", read("docs/method.md"))
    assert numbered == list("123456789")
    for path in PACKAGE.rglob("*.py"):
        if path.name != "generators.py":  # has equations of its own
            for cited in re.findall(r"[Ee]quations? \((\d+)\)", path.read_text(encoding="utf-8")):
                assert cited in numbered, f"{path.name} cites ({cited})"


def test_the_map_lists_every_file():
    listed = set(re.findall(r"`([\w/]+\.py|[\w]+/)`", read("CONTRIBUTING.md")))
    for path in PACKAGE.iterdir():
        if path.name not in {"__init__.py", "__pycache__", "py.typed"}:
            name = f"{path.name}/" if path.is_dir() else path.name
            assert name in listed, f"{name} is not in CONTRIBUTING's map"


def test_no_file_names_the_host_of_a_package_index():
    """Packages come from whatever index pip is set up with."""
    hosts = [f"{name}.org" for name in ("py" + "pi", "python" + "hosted", "ana" + "conda")]
    folders = ("cfens_stack", "tests", "docs", "recipes", "bench")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.*")]
    paths = [p for p in [*paths, *ROOT.glob("*.*")] if p.suffix in {".py", ".md", ".toml", ".txt"}]
    for path in [*paths, ROOT / "Makefile", ROOT / ".ci" / "run"]:
        if "_build" not in path.parts:
            text = path.read_text(encoding="utf-8")
            assert not [host for host in hosts if host in text], path


def test_no_file_has_outgrown_its_room():
    for path in PACKAGE.rglob("*.py"):
        n_lines = len(path.read_text(encoding="utf-8").splitlines())
        # Constructors and what their parameters mean stand in one place.
        limit = 420 if path.name == "estimators.py" else 300
        assert n_lines <= limit, f"{path.name} has {n_lines} lines: look for the second idea in it"
