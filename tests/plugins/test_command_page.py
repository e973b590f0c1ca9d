"""The commands and the code of docs/command_line.md, one after another."""

import re
import shlex

import numpy as np
import pandas
import pytest
from documents import blocks, read, run

from cfens_stack.command_line.main import main
from cfens_stack.datasets import make_predictions

PAGE = "docs/command_line.md"


def test_the_commands_of_the_page_run(tmp_path, monkeypatch, capsys):
    pytest.importorskip("skops", reason="skops is not installed")
    monkeypatch.chdir(tmp_path)
    data = make_predictions(200, 4, missing=0.1, random_state=0)
    frame = pandas.DataFrame(data.R, columns=["forest", "logistic", "boosting", "net"])
    frame["y"] = np.array(["no", "yes"])[data.y]
    frame.to_csv("predictions.csv", index=False)
    frame.assign(patient=np.arange(200)).to_csv("with_id.csv", index=False)
    frame.drop(columns="y").assign(patient=np.arange(200)).to_csv("new.csv", index=False)
    commands = re.findall(
        r"^cfens-stack (.*)$", "".join(re.findall(r"```bash\n(.*?)```", read(PAGE), re.S)), re.M
    )
    assert len(commands) == 5
    for command in commands:
        if "--id" in command:
            command = command.replace("predictions.csv", "with_id.csv")
        if command.startswith("search"):
            command = command.replace("100", "2") + " --quiet --model best.skops"
        assert main(shlex.split(command)) == 0, capsys.readouterr().err
    assert len(pandas.read_csv("probabilities.csv")) == 200
    names = {}
    for code in blocks(PAGE):
        run(PAGE, code, names)
    assert names["meta"].classes_.tolist() == ["no", "yes"]
