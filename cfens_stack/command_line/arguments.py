"""What `cfens-stack` takes: one parser per command."""

import argparse
from ast import literal_eval
from importlib.metadata import PackageNotFoundError, version

from cfens_stack.command_line import commands
from cfens_stack.ensemble.layout import LAYOUTS
from cfens_stack.search.selection import SELECTIONS

EXAMPLES = """examples:
  cfens-stack recommend predictions.csv --label y
  cfens-stack fit predictions.csv --label y --model stack.skops
  cfens-stack predict new.csv --model stack.skops --out probabilities.csv
  cfens-stack leaderboard predictions.csv --label y --scoring average_precision
  cfens-stack search predictions.csv --label y --trials 100 --storage trials.journal

The table, CSV, Parquet or npz, has a row per instance and a column per base model: out-of-fold
probabilities of the second class in sorted order (or of --pos-label); K columns per model for K > 2
classes. Cells are empty where a model did not score the row, labels where they are unknown.
"""
EPILOGS = {
    "fit": """example:
  cfens-stack fit predictions.csv --label y --id patient --set rho=0.3 --model stack.skops""",
    "predict": """example:
  cfens-stack predict new.csv --model stack.skops --id patient --out probabilities.csv

New predictions are found by the names of the columns that the model was fitted on; others, such as
labels, are left aside. Without --out the table goes to standard output.""",
    "search": """examples:
  cfens-stack search predictions.csv --label y --trials 100 --model best.skops
  cfens-stack search predictions.parquet --label y --storage trials.journal

The second one can be interrupted or killed; run again, it continues. Several processes started on
the same --storage share the trials.""",
    "recommend": """example:
  cfens-stack recommend predictions.csv --label y""",
    "leaderboard": """example:
  cfens-stack leaderboard predictions.csv --label y --scoring roc_auc --out table.csv""",
}


def parse(arguments):
    """Options of a command line; `command` among them is the function to call.

    Parameters
    ----------
    arguments : list of str or None
        None: those of the process.

    Returns
    -------
    options : argparse.Namespace
    """
    options = make_parser().parse_args(arguments)
    if getattr(options, "settings", None):
        options.settings = dict(options.settings)
    return options


def make_parser():
    """The parser with its five commands."""
    parser = argparse.ArgumentParser(
        prog="cfens-stack",
        description="Combine predictions of base models made elsewhere.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"cfens-stack {_version()}")
    added = parser.add_subparsers(title="commands", metavar="command", required=True)
    _fit(_command(added, "fit", "fit an ensemble and store it"))
    _predict(_command(added, "predict", "probabilities of new rows"))
    _search(_command(added, "search", "fit with hyperparameters found by search"))
    _labelled(_command(added, "recommend", "settings that suit the table"))
    _leaderboard(_command(added, "leaderboard", "scores of models, ensemble and average"))
    return parser


def _command(added, name, help):
    parser = added.add_parser(
        name,
        help=help,
        description=f"{help[0].upper()}{help[1:]}.",
        epilog=EPILOGS[name],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=getattr(commands, name))
    parser.add_argument("table", help="predictions: .csv, .parquet, .pq or .npz")
    parser.add_argument("--id", help="column with names of the rows")
    return parser


def _labelled(parser):
    parser.add_argument("--label", required=True, help="column of labels; empty: unknown")
    parser.add_argument("--weight", help="column of sample weights")
    parser.add_argument("--ignore", nargs="+", default=(), metavar="COLUMN", help="to leave out")
    parser.add_argument(
        "--models", nargs="+", metavar="COLUMN", help="of predictions (default: all others)"
    )
    parser.add_argument("--layout", choices=LAYOUTS, default="auto", help="what columns mean")
    parser.add_argument("--pos-label", help="class whose probability a column gives")


def _fit(parser):
    _labelled(parser)
    parser.add_argument("--model", default="model.skops", help="to write (default: %(default)s)")
    parser.add_argument(
        "--set",
        dest="settings",
        nargs="+",
        type=_setting,
        default={},
        metavar="NAME=VALUE",
        help="parameters of CFEnsemble, such as rho=0.3 use_class_weights=True",
    )


def _predict(parser):
    parser.add_argument("--model", default="model.skops", help="to read (default: %(default)s)")
    parser.add_argument("--out", help=".csv to write (default: standard output)")


def _search(parser):
    _labelled(parser)
    parser.add_argument("--model", default="model.skops", help="to write (default: %(default)s)")
    parser.add_argument("--trials", type=int, default=50, help="in all (default: %(default)s)")
    parser.add_argument("--timeout", type=float, help="seconds after which no trial starts")
    parser.add_argument("--folds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument(
        "--scoring",
        default="average_precision",
        help="scorer of scikit-learn (default: %(default)s)",
    )
    parser.add_argument("--selection", choices=SELECTIONS, default=SELECTIONS[0])
    parser.add_argument("--storage", help="journal file, sqlite:///file.db or a database's URL")
    parser.add_argument("--study", default="search", help="name in the storage (default: search)")
    parser.add_argument("--jobs", type=int, default=1, help="trials at once (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _leaderboard(parser):
    _labelled(parser)
    parser.add_argument("--scoring", help="scorer of scikit-learn (default: neg_log_loss)")
    parser.add_argument("--out", help=".csv to write (default: text on standard output)")


def _setting(text):
    """A pair from NAME=VALUE; values that are no Python literal are text."""
    name, given, value = text.partition("=")
    if not given:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _version():
    try:
        return version("cfens-stack")
    except PackageNotFoundError:
        return "(not installed)"
