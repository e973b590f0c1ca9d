"""`cfens-stack` in a process of its own, and a folder with tables for it."""

import subprocess
import sys

import numpy as np

from cfens_stack.datasets import make_predictions


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


def write_tables(folder):
    """A table with labels as text, a tenth of the cells and a few labels missing; and new rows."""
    import pandas

    data = make_predictions(600, 5, missing=0.1, random_state=0)
    frame = pandas.DataFrame(data.R, columns=list("abcde"))
    frame.insert(0, "id", [f"row{i}" for i in range(600)])
    frame["y"] = np.array(["no", "yes"])[data.y]
    frame.loc[:20, "y"] = None
    frame[:400].to_csv(folder / "train.csv", index=False)
    frame[400:].drop(columns="y").sample(frac=1, axis=1, random_state=0).to_csv(
        folder / "new.csv", index=False
    )
    frame.to_csv(folder / "all.csv", index=False)
