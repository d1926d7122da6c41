"""The balancing methods of others, each in a file that reads like its rule; docs/methods.md lists them.

A module has one policy, `METHOD`. It is found by the name of its file, which `study/methods.py` has an entry
for. z is the network's answer, z_u the share of branch u in it, whose mean is z; CE the mean cross-entropy.
"""

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from equimodal.fusion.base import Features
from equimodal.models.network import Logits, Network, fused
from equimodal.training.batch import Batch
from equimodal.training.policies import Policy, modality_losses


class Method(Policy):
    """A method of regular steps only; as it stands, one loss of the answer, L = CE(y, z).

    It counts epochs itself, by `end_epoch`, so that a loop of one's own has to call that.
    """

    apart = True

    def __init__(self, network: Network, *, classes: int = 0, seed: int = 0):
        """Begin with epoch 1 and the weights that the network starts from; the seed is of draws between epochs."""
        self.modalities = network.modalities
        self.classes, self.seed = classes, seed
        first = next(network.parameters())
        self.device, self.dtype = first.device, first.dtype
        self.epoch = 1

    def losses(
        self, logits: Logits, features: Features, labels: Int64[Tensor, " batch"]
    ) -> Float[Tensor, " terms"]:
        """Return CE(y, z)."""
        return F.cross_entropy(fused(logits), labels)[None]

    def end_epoch(self, network: Network, splits: Mapping[str, Iterable[Batch]]) -> None:
        """Count it."""
        self.epoch += 1

    def state_dict(self) -> dict[str, Tensor]:
        """Return the epoch, and what is `kept`."""
        return {"epoch": torch.tensor(self.epoch), **super().state_dict()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state_dict` gave."""
        super().load_state_dict(state)
        self.epoch = int(state["epoch"])


def with_shares(logits: Logits, labels: Int64[Tensor, " batch"]) -> Float[Tensor, " terms"]:
    """Return CE(y, z), and CE(y, z_u) of each branch."""
    joint = F.cross_entropy(fused(logits), labels)
    return torch.cat([joint[None], modality_losses(logits, labels)])
