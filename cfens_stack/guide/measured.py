"""What the switches of the decision guide are worth, as measured by recipes/guide_ablation.py."""

from dataclasses import dataclass

SWITCHES = {
    "use_label_aware_confidence": "label-aware confidence",
    "use_class_weights": "class weights",
    "focal_gamma": "focal loss",
}
CLEAR_P = 0.05
# Of average precision or log loss: a smaller one is of no use, however significant.
CLEAR_CHANGE = 0.001


@dataclass(frozen=True)
class Evidence:
    """Measured effect of one switch, turned on alone: means over families of real sets, held-out
    rows.

    Attributes
    ----------
    average_precision, log_loss : float
        Change at the natural posterior. A log loss that falls is better.
    balanced_accuracy : float
        Change at probability 1/2 with posterior="weighted".
    p_average_precision, p_log_loss, p_balanced_accuracy : float
        Of Wilcoxon's signed-rank test over families.
    """

    average_precision: float
    p_average_precision: float
    log_loss: float
    p_log_loss: float
    balanced_accuracy: float
    p_balanced_accuracy: float

    @property
    def verdict(self):
        """Of average precision and log loss: "helps", "costs", or "no clear effect" (p >= 0.05, or
        below 0.001).
        """
        gains = (
            (self.average_precision, self.p_average_precision),
            (-self.log_loss, self.p_log_loss),
        )
        clear = [gain for gain, p in gains if p < CLEAR_P and abs(gain) >= CLEAR_CHANGE]
        if not clear or min(clear) < 0.0 < max(clear):
            return "no clear effect"
        return "helps" if clear[0] > 0.0 else "costs"

    def change(self, sign):
        """Of average precision and log loss, turned round by sign -1, as text: str."""
        return (
            f"changed average precision by {sign * self.average_precision:+.4f} "
            f"({p_text(self.p_average_precision)}) and log loss by {sign * self.log_loss:+.4f} "
            f"({p_text(self.p_log_loss)})"
        )

    def __str__(self):
        return (
            f"{self.verdict}: average precision {self.average_precision:+.4f} "
            f"({p_text(self.p_average_precision)}), log loss {self.log_loss:+.4f} "
            f"({p_text(self.p_log_loss)}); balanced accuracy of probabilities as trained "
            f"{self.balanced_accuracy:+.3f} ({p_text(self.p_balanced_accuracy)})"
        )


def p_text(p):
    """A p value to two digits, never as 0."""
    return f"p = {p:.2f}" if p >= 0.01 else "p < 0.01"


# Group "all labels": 16 sets in 13 families, 5 folds, 17 base models.
MEASURED = {
    ("als", "use_label_aware_confidence"): Evidence(0.0002, 0.945, 0.0000, 0.414, 0.0000, 1.000),
    ("als", "use_class_weights"): Evidence(-0.0068, 0.042, 0.0022, 0.080, 0.1213, 0.000),
    ("als", "focal_gamma"): Evidence(-0.0004, 0.970, 0.0023, 0.110, 0.0159, 0.014),
    ("pytorch", "use_class_weights"): Evidence(-0.0071, 0.301, 0.0030, 0.094, 0.1238, 0.000),
    ("pytorch", "focal_gamma"): Evidence(0.0010, 0.519, 0.0011, 0.340, 0.0120, 0.054),
    ("als", "advice"): Evidence(-0.0082, 0.080, 0.0026, 0.020, 0.0980, 0.008),
    ("pytorch", "advice"): Evidence(-0.0068, 0.380, 0.0030, 0.060, 0.0970, 0.008),
}
