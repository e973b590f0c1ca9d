"""Every recipe says what it asks and how long it takes, offers --help, and has its output on the
site.
"""

import ast
import runpy
import sys

import pytest
from documents import ROOT

RECIPES = ROOT / "recipes"
PROGRAMS = [
    path.name
    for path in sorted(RECIPES.glob("*.py"))
    if "__main__" in path.read_text(encoding="utf-8")
]
OUTPUTS = {path.stem for path in (ROOT / "docs" / "output").glob("*.txt")}
MAKES_PREDICTIONS = {"real_sets.py", "multiclass_sets.py"}  # have nothing to ask or print


@pytest.mark.parametrize("name", PROGRAMS)
def test_question_time_and_output(name):
    code = (RECIPES / name).read_text(encoding="utf-8")
    text = ast.get_docstring(ast.parse(code))
    assert any(word in text for word in ("second", "minute", "hour"))
    if name not in MAKES_PREDICTIONS:
        assert "?" in text.partition("\n\n")[0]
        assert '"--docs"' in code or name.removesuffix(".py") in OUTPUTS


@pytest.mark.parametrize("name", PROGRAMS)
def test_help(name, monkeypatch, capsys):
    assert started(name, ["--help"], monkeypatch) == 0
    assert "usage:" in capsys.readouterr().out


def test_quickstart_runs(monkeypatch, capsys, tmp_path):
    """On one split of a small set; the site keeps the output of a whole run."""
    picture = tmp_path / "quickstart.png"
    options = ["--sets", "haberman", "--splits", "1", "--jobs", "1", "--picture", str(picture)]
    assert started("quickstart.py", options, monkeypatch) is None
    printed = capsys.readouterr().out
    assert printed.count("CFEnsemble  ") == 4
    assert picture.exists()
    assert picture.with_stem("quickstart_phone").exists()


def started(name, options, monkeypatch):
    """Run a recipe as a program; its exit status, None if it ends by itself."""
    monkeypatch.setattr(sys, "argv", [name, *options])
    monkeypatch.syspath_prepend(RECIPES)
    try:
        runpy.run_path(str(RECIPES / name), run_name="__main__")
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    except SystemExit as end:
        return end.code
    return None
