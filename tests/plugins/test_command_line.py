"""Commands that write or read models, end to end: skops files, standard output, exit codes."""

from pathlib import Path

import numpy as np
import pandas
import pytest
from commands_in_processes import run, write_tables
from sklearn.metrics import roc_auc_score

from cfens_stack import CFEnsemble
from cfens_stack.command_line.main import main
from cfens_stack.command_line.model_files import load_model

skops_io = pytest.importorskip("skops.io", reason="skops is not installed")
MODEL = "model.skops"


@pytest.fixture
def folder(tmp_path):
    write_tables(tmp_path)
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


def test_a_file_that_is_no_skops_and_one_with_foreign_types(folder):
    Path(folder, "bad.skops").write_text("nothing")
    with pytest.raises(ValueError, match=r"bad.skops is no skops file"):
        load_model(folder / "bad.skops")
    skops_io.dump(CFEnsemble(confidence=Path), folder / "foreign.skops")
    with pytest.raises(ValueError, match="types that are not of this package: pathlib"):
        load_model(folder / "foreign.skops")


def test_a_parameter_that_is_not_valid_leaves_no_model(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    command = ["fit", "train.csv", "--label", "y", "--id", "id", "--set", "rho=2"]
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("cfens-stack: error: The 'rho' parameter of CFEnsemble must be")
    assert not list(Path(folder).glob("model*"))
