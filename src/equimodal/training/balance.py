"""When re-balancing steps are taken."""

from dataclasses import dataclass
from math import isfinite
from numbers import Integral, Real


@dataclass(frozen=True)
class Balance:
    """The settings of Algorithm 1.

    Attributes:
        tolerance: alpha, how far apart the conditional learning speeds may be; in their own units, log10
            unless `LearningSpeed` is told otherwise.
        window: Q, the re-balancing steps in a row.
        warmup_epochs: Epochs of regular steps only, before the first test.

    Raises:
        ValueError: If the tolerance is negative or not finite, or another is no whole number from 1 on.
    """

    tolerance: float
    window: int
    warmup_epochs: int

    # Settings that are read from a file have no other keys.
    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    def __post_init__(self) -> None:
        if not _is(self.tolerance, Real) or not (isfinite(self.tolerance) and self.tolerance >= 0):
            raise ValueError(f"tolerance is {self.tolerance!r}, expected a number from 0 on")
        for name in ("window", "warmup_epochs"):
            value = getattr(self, name)
            if not _is(value, Integral) or value < 1:
                raise ValueError(f"{name} is {value!r}, expected a whole number from 1 on")


def _is(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
