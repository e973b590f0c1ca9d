"""The commands end to end, in processes of their own: files, standard output, exit codes."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from cfens_stack import CFEnsemble
from cfens_stack.command_line import commands
from cfens_stack.command_line.arguments import make_parser
from cfens_stack.command_line.main import main
from cfens_stack.command_line.model_files import check_target, load_model
from cfens_stack.datasets import make_predictions
from cfens_stack.stacking import score_models

pandas = pytest.importorskip("pandas")
MODEL = "model.skops" if find_spec("skops") else "model.joblib"
needs_skops = pytest.mark.skipif(not find_spec("skops"), reason="skops is not installed")


def run(folder, *arguments, code=0):
    """Standard output of a command that ends with this code, and standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "cfens_stack.command_line", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path):
    """A table with labels as text, a tenth of the cells and a few labels missing; and new rows."""
    data = make_predictions(600, 5, missing=0.1, random_state=0)
    frame = pandas.DataFrame(data.R, columns=list("abcde"))
    frame.insert(0, "id", [f"row{i}" for i in range(600)])
    frame["y"] = np.array(["no", "yes"])[data.y]
    frame.loc[:20, "y"] = None
    frame[:400].to_csv(tmp_path / "train.csv", index=False)
    frame[400:].drop(columns="y").sample(frac=1, axis=1, random_state=0).to_csv(
        tmp_path / "new.csv", index=False
    )
    frame.to_csv(tmp_path / "all.csv", index=False)
    return tmp_path


def test_fit_and_predict(folder):
    out, err = run(folder, "fit", "train.csv", "--label", "y", "--id", "id", "--model", MODEL)
    assert "400 rows, 5 model columns" in out
    assert not err
    out, err = run(folder, "predict", "new.csv", "--id", "id", "--model", MODEL)
    assert not err
    Path(folder, "out.csv").write_text(out)
    result = pandas.read_csv(folder / "out.csv")
    whole = pandas.read_csv(folder / "all.csv")
    meta = CFEnsemble().fit(whole.loc[:399, list("abcde")], whole["y"][:400])
    P = meta.predict_proba(whole.loc[400:, list("abcde")])
    np.testing.assert_allclose(result[["p_no", "p_yes"]], P, atol=1e-12)
    assert result["id"].tolist() == whole["id"][400:].tolist()
    assert (result["prediction"] == np.where(P[:, 1] > P[:, 0], "yes", "no")).all()
    assert roc_auc_score(whole["y"][400:], result["p_yes"]) > 0.8
    run(folder, "predict", "new.csv", "--id", "id", "--model", MODEL, "--out", "written.csv")
    assert Path(folder, "written.csv").read_text() == out


def test_search_keeps_its_threshold_and_goes_on_where_it_was(folder):
    command = ["search", "train.csv", "--label", "y", "--id", "id", "--model", MODEL, "--quiet"]
    command += ["--scoring", "f1", "--pos-label", "yes", "--folds", "2", "--storage", "s.journal"]
    out, _ = run(folder, *command, "--trials", "3")
    assert "The search kept" in out or "The search " in out
    out, _ = run(folder, "predict", "new.csv", "--id", "id", "--model", MODEL)
    Path(folder, "out.csv").write_text(out)
    result = pandas.read_csv(folder / "out.csv")
    by_threshold = (result["prediction"] == "yes").to_numpy()
    p = result["p_yes"].to_numpy()
    assert p[by_threshold].min() > p[~by_threshold].max()
    first = Path(folder, "s.journal").read_text().count('"op_code": 4')
    run(folder, *command, "--trials", "3")  # nothing left to do
    assert Path(folder, "s.journal").read_text().count('"op_code": 4') == first


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
        (["fit", "absent.csv", "--label", "y"], "There is no file 'absent.csv'"),
        (["fit", "train.csv", "--label", "z", "--id", "id"], "has no column 'z'"),
        (["fit", "train.csv", "--label", "y"], "column 'id' is not numeric"),
        (
            ["fit", "train.csv", "--label", "y", "--id", "id", "--pos-label", "maybe"],
            "no row has that label; there are no, yes",
        ),
        (
            ["fit", "train.csv", "--label", "y", "--id", "id", "--set", "rho=2"],
            "The 'rho' parameter of CFEnsemble must be",
        ),
        (["fit", "train.csv", "--label", "y", "--set", "rho"], "is not NAME=VALUE"),
        (["fit", "train.csv", "--label", "y", "--model", "m.pkl"], "valid endings are .skops and"),
        (["fit", "train.csv", "--label", "y", "--model", "no/m.joblib"], "There is no folder 'no'"),
        (["predict", "new.csv", "--model", "absent.joblib"], "There is no model 'absent.joblib'"),
        (["leaderboard", "train.csv"], "the following arguments are required: --label"),
        (["stack", "train.csv"], "invalid choice: 'stack'"),
        ([], "the following arguments are required: command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_are_one_line_and_code_2(folder, arguments, message, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    if arguments[:1] == ["fit"] and "--model" not in arguments:
        arguments = [*arguments, "--model", "model.joblib"]
    try:
        code = main(arguments)
    except SystemExit as ended:  # of argparse
        code = ended.code
    out, err = capsys.readouterr()
    assert code == 2
    assert not out
    assert message in err
    assert len([line for line in err.splitlines() if "error:" in line]) == 1
    assert not list(Path(folder).glob("model*"))


@needs_skops
def test_a_file_that_is_no_skops_and_one_with_foreign_types(folder):
    import skops.io

    Path(folder, "bad.skops").write_text("nothing")
    with pytest.raises(ValueError, match=r"bad.skops is no skops file"):
        load_model(folder / "bad.skops")
    skops.io.dump(CFEnsemble(confidence=Path), folder / "foreign.skops")
    with pytest.raises(ValueError, match="types that are not of this package: pathlib"):
        load_model(folder / "foreign.skops")


@pytest.mark.skipif(bool(find_spec("skops")), reason="skops is installed")
def test_without_skops_the_error_names_the_extra():
    with pytest.raises(ImportError, match=r"pip install 'cfens-stack\[skops\]'; or name the model"):
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
