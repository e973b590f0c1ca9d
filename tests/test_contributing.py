"""The documents say what is so: their code runs, the tests and files they name exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "cfens_stack"


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name):
    return re.findall(r"```python\n(.*?)```", read(name), re.DOTALL)


@pytest.mark.parametrize("code", blocks("CONTRIBUTING.md"), ids=range(len(blocks("CONTRIBUTING.md"))))
def test_examples_of_contributing_run(code):
    assert len(code.splitlines()) <= 20
    exec(compile(code, "CONTRIBUTING.md", "exec"), {})


def test_the_first_steps_run_from_top_to_bottom(capsys):
    names = {}
    for code in blocks("docs/start.md"):
        exec(compile(code, "docs/start.md", "exec"), names)
    assert names["p"].shape == names["y_new"].shape
    assert "==>" in capsys.readouterr().out


def test_failure_modes_name_tests_that_exist():
    defined = {name for path in ROOT.glob("tests/*.py") for name in re.findall(r"def (test_\w+)", path.read_text())}
    named = set(re.findall(r"`(test_\w+)`", read("docs/failure_modes.md")))
    assert len(named) > 15
    assert named <= defined, named - defined


def test_the_map_lists_every_file():
    listed = set(re.findall(r"`([\w/]+\.py|[\w]+/)`", read("CONTRIBUTING.md")))
    for path in PACKAGE.iterdir():
        if path.name not in {"__init__.py", "__pycache__", "py.typed"}:
            name = f"{path.name}/" if path.is_dir() else path.name
            assert name in listed, f"{name} is not in CONTRIBUTING's map"


def test_no_file_has_outgrown_its_room():
    for path in PACKAGE.rglob("*.py"):
        n_lines = len(path.read_text(encoding="utf-8").splitlines())
        assert n_lines <= 400, f"{path.name} has {n_lines} lines: look for the second idea in it"
