"""Classification with planted informativeness: utilization of the best fusion in closed form."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from equimodal.study.errors import UserError


@dataclass(frozen=True)
class Examples:
    """What was drawn: evidence is one-hot of the label where a modality shows it, else all 0."""

    labels: Int64[ndarray, " n"]
    a: Float64[ndarray, "n classes"]
    b: Float64[ndarray, "n classes"]


@dataclass(frozen=True)
class Planted:
    """Labels, uniform over the classes, that each of two modalities either shows or hides.

    The best fusion is the sum of both evidences: with the label in sight it is right, else it
    guesses one class, right with probability 1 / classes. In place of a modality its mean over the
    classes is the same for every class, and so adds nothing: switching off by the mean is exact.

    Raises:
        UserError: If the shares are no distribution, or there are fewer than 2 classes.
    """

    classes: int
    both: float  # share of examples whose label both modalities show
    only_a: float
    only_b: float  # the rest shows it in neither

    def __post_init__(self) -> None:
        shares = {name: getattr(self, name) for name in ("both", "only_a", "only_b")}
        if min(shares.values()) < 0 or sum(shares.values()) > 1 + 1e-12:
            raise UserError(
                f"{shares} are no shares; expected each at least 0, their sum at most 1"
            )
        if self.classes < 2:
            raise UserError(f"classes is {self.classes}; expected 2 or more")

    def accuracy(self) -> float:
        """Return A(f) = 1 - (1 - 1 / classes) (share that neither shows), of the best fusion."""
        return self._accuracy(self.both + self.only_a + self.only_b)

    def accuracy_alone(self, modality: Literal["a", "b"]) -> float:
        """Return the accuracy of the best fusion with the other modality switched off."""
        return self._accuracy(self.both + (self.only_a if modality == "a" else self.only_b))

    def utilization(self, of: Literal["a", "b"]) -> float:
        """Return u(of | other) = (A(f) - A(other alone)) / A(f), what the fusion owes to one."""
        other: Literal["a", "b"] = "b" if of == "a" else "a"
        return 1 - self.accuracy_alone(other) / self.accuracy()

    def _accuracy(self, shown: float) -> float:
        return shown + (1 - shown) / self.classes

    def draw(self, examples: int, seed: int) -> Examples:
        """Draw independent examples."""
        rng = np.random.default_rng(seed)
        labels = rng.integers(self.classes, size=examples)
        one_hot = np.eye(self.classes)[labels]
        u = rng.random((examples, 1))
        in_a = u < self.both + self.only_a
        in_b = (u < self.both) | (
            (u >= self.both + self.only_a) & (u < self.both + self.only_a + self.only_b)
        )
        return Examples(labels, one_hot * in_a, one_hot * in_b)
