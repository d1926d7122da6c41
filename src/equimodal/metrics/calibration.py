"""Calibration: whether a network is right as often as it is sure."""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

BINS = 15  # as in Guo et al.


def calibration_error(logits: Float[ndarray, "n classes"], labels: Int[ndarray, " n"]) -> float:
    """Return the expected calibration error, sum_b n_b / n |accuracy_b - confidence_b| (Guo et al., 2017).

    The confidence is the largest of the softmax; examples are in 15 bins of it, of equal width.
    """
    z = logits - logits.max(1, keepdims=True)
    confidence = 1 / np.exp(z).sum(1)  # the largest logit's
    right = logits.argmax(1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))
