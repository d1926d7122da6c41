"""Conditional utilization rate: what a trained branch owes to the other modality."""

from jaxtyping import Int, Num
from numpy import ndarray


def accuracy(logits: Num[ndarray, "n classes"], labels: Int[ndarray, " n"]) -> float:
    """Return the share of examples whose largest logit is that of their label."""
    return float((logits.argmax(-1) == labels).mean())


def utilization_rate(accuracy: float, accuracy_isolated: float) -> float:
    """Return u = (A(f_b) - A(f_b')) / A(f_b) (Eqs. 9, 10).

    For b = 0 it is u(m1|m0), the share of branch 0's accuracy that it owes to m1; for b = 1 it is
    u(m0|m1). At most 1; negative where the branch does better alone, which the paper's bound of
    [-1, 1] on d_util does not foresee. It is not clipped.

    Args:
        accuracy: A(f_b), accuracy of branch b with the regular flow.
        accuracy_isolated: A(f_b'), its accuracy without cross-modal flow.
    """
    return (accuracy - accuracy_isolated) / accuracy if accuracy > 0 else float("nan")
