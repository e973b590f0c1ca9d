"""The search space as a table: which parameters of CFEnsemble are searched, over what, and when
(section 4).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cfens_stack.ensemble.estimators import CFEnsemble

PROBABILITIES = "probabilities"  # pseudo-parameter: whether the columns of R are probabilities
ADVICE = ("imbalanced", "high disagreement")


@dataclass(frozen=True)
class Param:
    """A row of the search space: one parameter of CFEnsemble.

    Attributes
    ----------
    name : str
        Parameter of `CFEnsemble`.
    choices : tuple, default=()
        Its values, or empty for a range.
    low, high : int or float
        Ends of the range, both included; integers make an integer range. The range of `latent_dim`
        ends at the number of columns of R.
    log : bool, default=False
        Whether the range is uniform on the log scale.
    or_value : object, default=None
        A value besides the range, such as 0 or "auto"; whether it or the range applies is then
        asked first.
    when : mapping of str to object, default={}
        Asked only if these parameters, all of earlier rows, have these values. "probabilities"
        stands for whether the columns of R are probabilities, not scores. Where it is not asked,
        CFEnsemble's own default stays.
    advice : {"imbalanced", "high disagreement"} or None, default=None
        With `guide=True` asked only where the guide finds this, and fixed at `otherwise` elsewhere.
    otherwise : object, default=None
    """

    name: str
    choices: tuple = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    or_value: Any = None
    when: Mapping = field(default_factory=dict)
    advice: str | None = None
    otherwise: Any = None

    def __post_init__(self):
        if not self.choices and self.low == self.high == 0.0 and self.or_value is None:
            raise ValueError(
                f"Param({self.name!r}) has neither a range nor choices: pass low= and high=, or "
                "choices=."
            )
        if not self.choices and self.log and self.low <= 0.0:
            raise ValueError(
                f"Param({self.name!r}) has low={self.low} with log=True: a range that is searched "
                "on the scale of logarithms begins above 0."
            )
        if not self.choices and not self.low <= self.high:
            raise ValueError(
                f"Param({self.name!r}) has low={self.low} and high={self.high}: pass low <= "
                "high, or choices."
            )
        if self.advice is not None and self.advice not in ADVICE:
            raise ValueError(
                f"Param({self.name!r}) has advice={self.advice!r}, but it must be one of {ADVICE}."
            )

    @property
    def switch(self):
        """Name under which Optuna is asked whether the range applies, not `or_value`."""
        return f"{self.name}_in_range"


ALS = {"trainer": "als"}

SEARCH_SPACE = (
    Param("trainer", choices=("als", "pytorch")),
    Param("latent_dim", low=1, high=64, log=True),
    Param("lambda_reg", low=1e-4, high=1.0, log=True),
    Param("aggregator_reg", low=0.1, high=1000.0, log=True, or_value="auto"),
    Param("link", choices=("logit", "identity"), when={PROBABILITIES: True}),
    # Few values, so that trials share what is encoded with each.
    Param("smoothing", choices=(1e-4, 1e-3, 1e-2, 1e-1), when={"link": "logit"}),
    Param(
        "confidence", choices=("uniform", "certainty", "calibration"), when={PROBABILITIES: True}
    ),
    Param("use_class_weights", choices=(False, True), advice="imbalanced", otherwise=False),
    Param(
        "use_label_aware_confidence",
        choices=(False, True),
        when={**ALS, PROBABILITIES: True},
        advice="imbalanced",
        otherwise=False,
    ),
    Param("rho", low=0.0, high=0.95, when={**ALS, "use_label_aware_confidence": True}),
    Param("rho", low=0.05, high=0.95, when={"trainer": "pytorch"}),
    Param(
        "focal_gamma", low=0.5, high=5.0, or_value=0.0, advice="high disagreement", otherwise=0.0
    ),
)
# Lower end of rho in the guided space where less than half of the rows are labelled.
RHO_FEW_LABELS = 0.5


@dataclass(frozen=True)
class Space:
    """Rows fitted to the data at hand, and the values that are not searched.

    Attributes
    ----------
    rows : tuple of Param
    fixed : dict
        Values of parameters that the trainers asked for, the guide or the data leave no choice in.
    facts : dict
        Pseudo-parameters that `when` may refer to.
    """

    rows: tuple
    fixed: dict
    facts: dict

    def suggest(self, trial):
        """Parameters of CFEnsemble, asked of an Optuna trial (or anything with its three suggest
        methods).
        """
        return self._walk(lambda row: _ask(row, trial))

    def decode(self, asked):
        """Parameters of CFEnsemble from those that Optuna has stored."""
        return self._walk(
            lambda row: (
                asked[row.name] if row.or_value is None or asked[row.switch] else row.or_value
            ),
        )

    def encode(self, params):
        """What Optuna would have to be told for parameters of CFEnsemble: values outside the space
        are moved to it.
        """
        asked: dict = {}

        def note(row):
            value = params[row.name]
            if row.choices:
                value = _nearest(row.choices, value)
            elif row.or_value is not None:
                asked[row.switch] = value != row.or_value
                if not asked[row.switch]:
                    return value
            if not row.choices:
                value = type(row.low)(min(max(value, row.low), row.high))
            asked[row.name] = value
            return value

        self._walk(note)
        return asked

    def _walk(self, value_of):
        """Values of the rows that apply, from the first to the last."""
        known = {**self.facts, **self.fixed}
        for row in self.rows:
            if row.name not in self.fixed and all(
                known.get(name) == value for name, value in row.when.items()
            ):
                known[row.name] = value_of(row)
        return {name: value for name, value in known.items() if name not in self.facts}


def fit_space(rows, trainers, guidance, n_columns, *, guided):
    """The rows for the trainers asked for, the shape of R and, if guided, the branch of the
    decision guide.

    Parameters
    ----------
    rows : sequence of Param
    trainers : sequence of str
    guidance : Guidance
    n_columns : int
    guided : bool
        Whether the guide narrows the space.

    Returns
    -------
    Space
    """
    if not rows:
        raise ValueError(
            "space is empty: pass Param objects to search over, or None for SEARCH_SPACE."
        )
    unknown = [row for row in rows if getattr(row, "name", None) not in CFEnsemble().get_params()]
    if unknown:
        raise ValueError(
            f"space has {unknown[0]!r}, but its entries are Param objects, each named like a "
            "parameter of CFEnsemble."
        )
    fixed: dict = {}
    fitted = []
    found = {
        "imbalanced": guidance.is_imbalanced,
        "high disagreement": guidance.is_high_disagreement,
    }
    for row in rows:
        if row.name == "trainer":
            row = replace(
                row, choices=tuple(trainer for trainer in row.choices if trainer in trainers)
            )
        if row.name == "latent_dim" and not row.choices:
            row = replace(row, low=min(row.low, n_columns), high=min(row.high, n_columns))
        if (
            row.name == "rho"
            and guided
            and guidance.labelled_share < 0.5
            and row.low < RHO_FEW_LABELS < row.high
        ):
            row = replace(row, low=RHO_FEW_LABELS)
        if guided and row.advice is not None and not found[row.advice]:
            fixed[row.name] = row.otherwise
        elif len(row.choices) == 1 and not row.when:
            fixed[row.name] = row.choices[0]
        elif row.name == "latent_dim" and row.low == row.high and not row.choices:
            fixed[row.name] = row.low
        else:
            fitted.append(row)
    return Space(
        tuple(fitted), fixed, {PROBABILITIES: guidance.disagreement == guidance.disagreement}
    )


def _nearest(choices, value):
    """The value if it is one of the choices, else the nearest number, else the first choice."""
    numbers = [one for one in choices if isinstance(one, int | float) and not isinstance(one, bool)]
    if value in choices or not numbers or not isinstance(value, int | float):
        return value if value in choices else choices[0]
    return min(numbers, key=lambda one: abs(one - value))


def _ask(row, trial):
    if row.choices:
        return trial.suggest_categorical(row.name, row.choices)
    if row.or_value is not None and not trial.suggest_categorical(row.switch, (False, True)):
        return row.or_value
    if isinstance(row.low, int) and isinstance(row.high, int):
        return trial.suggest_int(row.name, row.low, row.high, log=row.log)
    return trial.suggest_float(row.name, row.low, row.high, log=row.log)
