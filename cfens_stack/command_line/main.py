"""The entry point: arguments, a command, an exit code. Errors are one line on stderr."""

import os
import sys
import warnings

from cfens_stack.command_line.arguments import parse

FAILED, INTERRUPTED = 2, 130  # argparse's code for bad arguments; the shell's for Ctrl-C


def main(arguments=None):
    """Run a command.

    Parameters
    ----------
    arguments : list of str, default=None
        None: those of the process.

    Returns
    -------
    code : int
        0; 2 if something cannot be used, as for bad arguments; 130 after Ctrl-C.
    """
    options = parse(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = _show_warning
        try:
            options.command(options)
            sys.stdout.flush()
        except KeyboardInterrupt:
            return _stop("interrupted", INTERRUPTED)
        except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except (ValueError, TypeError, OSError, ImportError, MemoryError, ArithmeticError) as error:
            return _stop(str(error) or type(error).__name__, FAILED)
    return 0


def _stop(message, code):
    _say(f"error: {message}")
    return code


def _show_warning(message, category, filename, lineno, file=None, line=None):
    """A warning as one line; the place in the code is of no use here."""
    if not issubclass(category, DeprecationWarning | PendingDeprecationWarning | FutureWarning):
        _say(f"warning: {message}")


def _say(text):
    sys.stderr.write(f"cfens-stack: {' '.join(text.split())}\n")
