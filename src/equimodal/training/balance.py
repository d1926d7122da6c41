"""Which step to take next: balanced multi-modal learning (paper, Sec. 5.2, Algorithm 1).

A mode is -1 for a regular step, b >= 0 for a re-balancing step on modality b. It is a tensor on the
device where the network trains, so that a decision never waits for the device.
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from equimodal.spec import Balance, RunSpec

REGULAR_MODE = -1

Mode = Int64[Tensor, ""]


class Policy(ABC):
    """Chooses the mode of each step from the conditional learning speeds so far."""

    mode: Mode | None  # of the next step; None where a policy only ever takes regular steps

    @abstractmethod
    def advance(self, speeds: Float64[Tensor, " modalities"] | None, *, epoch: int) -> None:
        """Choose the mode of the next step.

        Args:
            speeds: Conditional learning speed of each branch, the step just taken included; None
                for a uni-modal network.
            epoch: Epoch of the step just taken, counted from 1.
        """

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Tensors that decide the future; copying into them restores it."""


class Vanilla(Policy):
    """Regular steps only: conventional training."""

    mode = None

    def advance(self, speeds: Float64[Tensor, " modalities"] | None, *, epoch: int) -> None:
        """Stay regular."""

    def state(self) -> dict[str, Tensor]:
        """Nothing to remember."""
        return {}


class Guided(Policy):
    """Re-balance on the branch that leans on the other modality (Algorithm 1).

    After a regular step, once the warm-up is over: if the speeds are further apart than the
    tolerance, the next `window` steps re-balance on the branch of the highest speed, the one whose
    fusion does the learning for it. One regular step always follows, and the test is made again.
    With more than two modalities the distance is that of the highest and the lowest speed.
    """

    def __init__(self, balance: Balance, device: torch.device | str = "cpu"):
        """Start with a regular step."""
        self.balance = balance
        self.mode = torch.tensor(REGULAR_MODE, device=device)
        self._taken = torch.tensor(0, device=device)

    def advance(self, speeds: Float64[Tensor, " modalities"] | None, *, epoch: int) -> None:
        """Start, go on with, or end a window of re-balancing steps."""
        assert speeds is not None  # params.py refuses `guided` on one modality
        assert self.mode is not None
        regular = self.mode == REGULAR_MODE
        self._taken = torch.where(regular, 0, self._taken + 1)
        start = regular & (speeds.max() - speeds.min() > self.balance.tolerance)
        if epoch <= self.balance.warmup_epochs:
            start = torch.zeros_like(start)
        end = ~regular & (self._taken >= self.balance.window)
        self.mode = torch.where(start, speeds.argmax(), torch.where(end, REGULAR_MODE, self.mode))

    def state(self) -> dict[str, Tensor]:
        """Current mode, and how many steps of the window are taken."""
        assert self.mode is not None
        return {"mode": self.mode, "taken": self._taken}


def build_policy(spec: RunSpec, device: torch.device | str = "cpu") -> Policy:
    """Build the policy of a run."""
    if spec.balance is None:
        return Vanilla()
    return Guided(spec.balance, device)
