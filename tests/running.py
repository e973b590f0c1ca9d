"""Programs that tests start and break: in a session and with a folder for temporary files of their
own.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil

TESTS = Path(__file__).parent
PATIENCE_SECONDS = 60


class Run:
    """A program that has been started in `folder`; what it prints is in the files "out" and "err"
    there.
    """

    def __init__(self, code, folder, *arguments):
        self.folder = folder
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        path = os.pathsep.join(
            [str(TESTS), str(TESTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        with open(folder / "out", "w") as out, open(folder / "err", "w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, *map(str, arguments)],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": path, "TMPDIR": str(self.temporary)},
                start_new_session=True,
                stdout=out,
                stderr=err,
            )

    def output(self):
        """What it has printed."""
        return (self.folder / "out").read_text()

    def errors(self):
        """What it has written to standard error."""
        return (self.folder / "err").read_text()

    def wait_for(self, condition):
        """Wait until condition() holds, and return what it returned; it must before the program
        ends.
        """
        end = time.monotonic() + PATIENCE_SECONDS
        while not (found := condition()):
            assert self.process.poll() is None, self.errors()
            assert time.monotonic() < end, self.errors()
            time.sleep(0.02)
        return found

    def interrupt(self):
        """Ctrl-C in a terminal: SIGINT to all processes."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self):
        """Exit status, once it has ended and nothing is left: no process, no temporary file."""
        status = self.process.wait(PATIENCE_SECONDS)
        end = time.monotonic() + 15
        while processes := self.processes():
            assert time.monotonic() < end, processes
            time.sleep(0.05)
        assert list(self.temporary.iterdir()) == []
        assert list(Path("/dev/shm").glob(f"joblib_memmapping_folder_{self.process.pid}_*")) == []
        return status

    def processes(self):
        """Command lines of the processes of its session that are alive."""
        found = []
        for process in psutil.process_iter():
            try:
                if (
                    os.getsid(process.pid) == self.process.pid
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(process.cmdline())
            except (ProcessLookupError, psutil.Error):
                continue
        return found


@contextmanager
def running(code, folder, *arguments):
    """A `Run`, of which nothing survives the body."""
    run = Run(code, folder, *arguments)
    try:
        yield run
    finally:
        if run.processes():
            os.killpg(run.process.pid, signal.SIGKILL)
        run.process.wait()
