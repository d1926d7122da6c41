"""Branches joined by fusion modules: the networks of the study."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from equimodal.fusion.base import REGULAR, Flow, Fusion
from equimodal.fusion.mmtm import MMTM
from equimodal.fusion.squeeze_excite import SqueezeExcite
from equimodal.models.four_conv import FourConvBranch
from equimodal.spec import RunSpec

Inputs = dict[str, Float[Tensor, "batch _channels *_space"]]
Logits = dict[str, Float[Tensor, "batch classes"]]


class Branch(Protocol):
    """A uni-modal network cut into stages, so that fusion modules can come between."""

    stages: nn.ModuleList
    head: nn.Module
    widths: tuple[int, ...]  # channels after each stage


class Network(nn.Module):
    """Predict the class once from each modality's branch (paper, Fig. 1).

    The prediction of the whole network is the mean of the branches' logits, `fused(logits)`
    (Eq. 3). With one branch it is a uni-modal network.
    """

    def __init__(self, branches: Mapping[str, nn.Module], fusions: Mapping[int, Fusion]):
        """Join branches by fusion modules.

        Args:
            branches: A `Branch` for each modality, all of as many stages. The first is the paper's
                m0.
            fusions: Fusion module after each of some stages, which count from 1.
        """
        super().__init__()
        self.modalities = tuple(branches)
        self.branches = nn.ModuleDict(branches)
        self.fusions = nn.ModuleDict({str(stage): fusion for stage, fusion in fusions.items()})

    def forward(self, inputs: Inputs, flow: Flow = REGULAR) -> Logits:
        """Return the logits of each branch."""
        features = {m: inputs[m] for m in self.modalities}
        branches: dict[str, Any] = dict(self.branches)
        for stage in range(len(branches[self.modalities[0]].stages)):
            features = {m: b.stages[stage](features[m]) for m, b in branches.items()}
            if str(stage + 1) in self.fusions:
                features = self.fusions[str(stage + 1)](features, flow)
        return {m: branch.head(features[m]) for m, branch in branches.items()}

    def branch_parameters(self, modality: str) -> list[nn.Parameter]:
        """theta_b of the paper: all parameters of the modality's branch."""
        return list(self.branches[modality].parameters())

    def fusion_parameters(self, modality: str) -> list[nn.Parameter]:
        """theta_b' of the paper: fusion parameters that act on the branch, shared ones included."""
        return [
            p
            for f in self._fusions()
            for p in (*f.shared_parameters(), *f.own_parameters(modality))
        ]

    def held_parameters(self, modality: str) -> list[nn.Parameter]:
        """Parameters without a gradient in a re-balancing step on the modality."""
        return [p for f in self._fusions() for p in f.own_parameters(modality)]

    def reset_recording(self) -> None:
        """Forget the training-set means of all fusion modules."""
        for fusion in self._fusions():
            fusion.reset_recording()

    def _fusions(self) -> list[Fusion]:
        return [f for f in self.fusions.values() if isinstance(f, Fusion)]


def fused(logits: Logits) -> Float[Tensor, "batch classes"]:
    """Return the network's prediction: the mean of the branches' logits (Eq. 3)."""
    return torch.stack(list(logits.values())).mean(0)


def build_network(spec: RunSpec, device: torch.device | str = "cpu") -> Network:
    """Build the network of a run, in channels-last memory, its weights drawn from the run's seed.

    The same seed gives the same weights whatever the policy, so that policies can be compared in
    pairs. The random state outside is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        branches = {
            m: FourConvBranch(
                modality.channels,
                spec.classes,
                spec.network.widths,
                batch_norm=spec.network.batch_norm,
            )
            for m, modality in spec.modalities.items()
        }
        settings = spec.fusion.model_dump()
        fusions: dict[int, Fusion] = {}
        for stage in spec.network.fused_after:
            channels = {m: branch.widths[stage - 1] for m, branch in branches.items()}
            if len(channels) > 1:
                fusions[stage] = MMTM(channels, **settings)
            else:
                ((modality, width),) = channels.items()
                fusions[stage] = SqueezeExcite(modality, width, **settings)
        network = Network(branches, fusions).to(device)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
