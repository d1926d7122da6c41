import math

import numpy as np
import pytest

from equimodal.metrics.utilization import accuracy, utilization_rate


def test_accuracy_is_the_share_of_labels_with_the_largest_logit():
    logits = np.array([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]])
    assert accuracy(logits, np.array([0, 1, 1])) == pytest.approx(2 / 3)


def test_a_branch_that_needs_the_other_modality_for_half_of_its_accuracy():
    assert utilization_rate(0.8, 0.4) == pytest.approx(0.5)


def test_a_branch_that_does_better_alone_has_a_negative_rate():
    assert utilization_rate(0.4, 0.8) == pytest.approx(-1.0)


def test_no_rate_without_accuracy():
    assert math.isnan(utilization_rate(0.0, 0.1))
