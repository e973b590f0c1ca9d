"""How much memory do a fit and a prediction take where the predictions lie on disk?

Writes ROWS x 20 float32 predictions to a file, then fits a default `CFEnsemble` on the
memory-mapped file and predicts all its rows, in a process of its own. Reported is the peak of the
memory that the process cannot give back (RssAnon of /proc/self/status, Linux only): pages of the
mapped file that the system keeps as long as it has room do not count.

    python bench/memory.py --rows 10000000
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from cfens_stack import CFEnsemble
from cfens_stack.datasets import make_predictions

MODELS = 20
DRAWN = 100_000
EVERY = 0.05  # seconds


def write(folder, n, missing):
    """Predictions in blocks of rows that repeat a generated set with some jitter."""
    data = make_predictions(n_samples=DRAWN, n_models=MODELS, missing=missing, random_state=0)
    rng = np.random.default_rng(0)
    R = np.lib.format.open_memmap(folder / "R.npy", mode="w+", dtype=np.float32, shape=(n, MODELS))
    for start in range(0, n, DRAWN):
        size = min(DRAWN, n - start)
        R[start : start + size] = data.R[:size] * rng.uniform(0.95, 1.0, size=(size, MODELS))
    np.save(folder / "y.npy", np.resize(data.y, n))


class PeakMemory:
    """Highest RssAnon, in bytes, while the context lasts."""

    def __enter__(self):
        self.peak, self.running = 0, True
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.running = False
        self.thread.join()

    def _watch(self):
        while self.running:
            self.peak = max(self.peak, held())
            time.sleep(EVERY)


def held():
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("RssAnon:")[2].split()[0])


def measure(folder):
    R, y = np.load(folder / "R.npy", mmap_mode="r"), np.load(folder / "y.npy")
    before = held()
    model = CFEnsemble()
    with threadpool_limits(1):
        for name, step in {
            "fit": lambda: model.fit(R, y),
            "predict_proba": lambda: model.predict_proba(R),
        }.items():
            start = time.process_time()
            with PeakMemory() as memory:
                step()
            seconds = time.process_time() - start
            print(
                f"{name}: {len(R)} rows, {R.nbytes / 2**30:.2f} GiB on disk, {seconds:.0f} CPU "
                f"seconds, peak {memory.peak / 2**30:.2f} GiB, of which {before / 2**30:.2f} "
                "before",
                flush=True,
            )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--missing", type=float, default=0.0, help="share of cells")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure)
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), arguments.rows, arguments.missing)
        subprocess.run([sys.executable, __file__, "--measure", folder], check=True)


if __name__ == "__main__":
    main()
