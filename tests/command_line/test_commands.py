"""The commands end to end, in processes of their own: files, standard output, exit codes."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from commands_in_processes import run, write_tables
from sklearn.metrics import log_loss, roc_auc_score

from cfens_stack.command_line import commands
from cfens_stack.command_line.arguments import make_parser
from cfens_stack.command_line.main import main
from cfens_stack.command_line.model_files import check_target
from cfens_stack.datasets import make_predictions
from cfens_stack.stacking import score_models

pandas = pytest.importorskip("pandas")


@pytest.fixture
def folder(tmp_path):
    write_tables(tmp_path)
    return tmp_path


def test_recommend_and_leaderboard(folder):
    out, _ = run(folder, "recommend", "train.csv", "--label", "y", "--id", "id")
    assert "Guidance for 5 models, 400 rows" in out
    command = ["leaderboard", "train.csv", "--label", "y", "--id", "id", "--scoring", "roc_auc"]
    out, _ = run(folder, *command)
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[2:]].count("ensemble") == 1
    assert len(lines) == 2 + 5 + 2
    run(folder, *command, "--out", "board.csv")
    board = pandas.read_csv(folder / "board.csv", index_col="name")
    train = pandas.read_csv(folder / "train.csv")
    rows = train["y"].notna() & train["a"].notna()
    expected = roc_auc_score(train["y"][rows], train["a"][rows])
    assert board.loc["a", "score"] == pytest.approx(expected)
    assert board.loc["a", "missing"] == pytest.approx(train["a"].isna().mean())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["leaderboard", "absent.csv", "--label", "y"], "There is no file 'absent.csv'"),
        (["recommend", "train.csv", "--label", "z", "--id", "id"], "has no column 'z'"),
        (["leaderboard", "train.csv", "--label", "y"], "column 'id' is not numeric"),
        (
            ["leaderboard", "train.csv", "--label", "y", "--id", "id", "--pos-label", "maybe"],
            "no row has that label; there are no, yes",
        ),
        (
            ["leaderboard", "train.csv", "--label", "y", "--id", "id", "--scoring", "luck"],
            "'luck' is not a valid scoring value",
        ),
        (["leaderboard", "train.csv", "--label", "y", "--out", "no/b.csv"], "no folder 'no'"),
        (["fit", "train.csv", "--label", "y", "--set", "rho"], "is not NAME=VALUE"),
        (["fit", "train.csv", "--label", "y", "--model", "m.pkl"], "so call it NAME.skops"),
        (["search", "train.csv", "--label", "y", "--model", "no/m.skops"], "no folder 'no'"),
        (["predict", "new.csv", "--model", "absent.skops"], "There is no model 'absent.skops'"),
        (["leaderboard", "train.csv"], "the following arguments are required: --label"),
        (["stack", "train.csv"], "invalid choice: 'stack'"),
        ([], "the following arguments are required: command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_are_one_line_and_code_2(folder, arguments, message, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    try:
        code = main(arguments)
    except SystemExit as ended:  # of argparse
        code = ended.code
    out, err = capsys.readouterr()
    assert code == 2
    assert not out
    assert message in err
    assert len([line for line in err.splitlines() if "error:" in line]) == 1


@pytest.mark.skipif(bool(find_spec("skops")), reason="skops is installed")
def test_without_skops_the_error_names_the_extra():
    with pytest.raises(ImportError, match=r"pip install 'cfens-stack\[skops\]'"):
        check_target("model.skops")


def test_warnings_are_lines_and_an_interruption_has_its_code(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    frame = pandas.read_csv("train.csv", index_col="id")
    frame[list("abcde")] = 1 - frame[list("abcde")]
    frame.to_csv("turned.csv", index=False)
    assert main(["leaderboard", "turned.csv", "--label", "y"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert any("warning:" in line and "opposite" in line for line in lines)
    assert all(line.startswith("cfens-stack: warning: ") for line in lines)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "read_predictions", interrupted)
    assert main(["recommend", "train.csv", "--label", "y"]) == 130
    assert capsys.readouterr().err == "cfens-stack: error: interrupted\n"


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("layout", ["auto", "class-major"])
def test_a_leaderboard_of_columns_per_class(n_classes, layout):
    data = make_predictions(200, 3, n_classes=n_classes, random_state=0)
    P = data.R.reshape(200, 3, -1)
    P = np.concatenate([1 - P, P], axis=2) if n_classes == 2 else P
    labels = ["ant", "bee", "cat"][:n_classes]
    names = [[f"{model}_{label}" for label in labels] for model in ("lin", "tree", "net")]
    y = np.array(labels)[data.y]
    R = P if layout == "auto" else P.transpose(0, 2, 1)
    names = np.array(names if layout == "auto" else np.transpose(names)).ravel()
    table = score_models(R.reshape(200, -1), y, names=names, layout=layout)
    for u, model in enumerate(["lin", "tree", "net"]):
        name = model if n_classes > 2 else f"{model}_bee"
        assert table.loc[name, "score"] == pytest.approx(-log_loss(y, P[:, u]))
    assert table.loc["average", "score"] == pytest.approx(-log_loss(y, P.mean(axis=1)))
    if n_classes == 2:
        turned = score_models(1 - data.R, y, pos_label="ant")
        assert turned.loc["ensemble", "score"] == pytest.approx(table.loc["ensemble", "score"])
    with pytest.raises(ValueError, match="no probabilities of the classes"):
        score_models(10 * R.reshape(200, -1), y)


def test_help_has_examples_that_parse():
    parser = make_parser()
    commands = parser._subparsers._group_actions[0].choices
    found = 0
    for text in (parser.epilog, *(command.epilog for command in commands.values())):
        for line in text.splitlines():
            if line.strip().startswith("cfens-stack "):
                options = parser.parse_args(line.split()[1:])
                assert callable(options.command)
                found += 1
    assert found >= 10


def test_the_script_is_installed_with_the_package():
    tomllib = pytest.importorskip("tomllib")
    file = Path(__file__).parents[2] / "pyproject.toml"
    script = tomllib.loads(file.read_text())["project"]["scripts"]["cfens-stack"]
    assert script == "cfens_stack.command_line.main:main"
