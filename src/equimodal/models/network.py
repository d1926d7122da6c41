"""Branches joined by fusion modules: the networks of the study."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from equimodal.fusion.base import REGULAR, Features, Flow, Fusion, require_names, squeeze
from equimodal.fusion.late import LateFusion

Inputs = dict[str, Float[Tensor, "batch _channels *_space"]]
Logits = dict[str, Float[Tensor, "batch classes"]]


class Branch(Protocol):
    """A uni-modal network cut into stages, so that fusion modules can come between."""

    stages: nn.ModuleList
    head: nn.Module
    widths: tuple[int, ...]  # channels after each stage


class Pool(nn.Module):
    """The mean of each feature map, which a classifier reads."""

    def forward(self, x: Float[Tensor, "batch channels *space"]) -> Float[Tensor, "batch channels"]:
        """Return the squeeze of the features."""
        return squeeze(x)


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

        Raises:
            TypeError: If a fusion is not a `Fusion`, branches or fusions are no dict, or a head follows a
                `LateFusion`.
            ValueError: If there is no branch, branches differ in the number of stages, or a fusion
                joins other modalities, or in another order, or follows a stage that is not there.
        """
        super().__init__()
        _check(branches, fusions)
        self.modalities = tuple(branches)
        self.branches = nn.ModuleDict(branches)
        self.fusions = nn.ModuleDict({str(stage): fusion for stage, fusion in fusions.items()})

    def forward(
        self, inputs: Inputs, flow: Flow = REGULAR, *, with_features: bool = False
    ) -> Logits | tuple[Logits, Features]:
        """Return the logits of each branch and, if asked, the last features, which its classifier reads.

        Raises:
            ValueError: If the modalities of the inputs are not those of the network.
        """
        if inputs.keys() != set(self.modalities):
            raise ValueError(
                f"the inputs have modalities {sorted(inputs)}, the network has"
                f" {sorted(self.modalities)}"
            )
        features = {m: inputs[m] for m in self.modalities}
        branches: dict[str, Any] = dict(self.branches)
        answers = None
        for stage in range(len(branches[self.modalities[0]].stages)):
            features = {m: b.stages[stage](features[m]) for m, b in branches.items()}
            fusion = self.fusions[place] if (place := str(stage + 1)) in self.fusions else None
            if isinstance(fusion, LateFusion):
                answers = fusion(features, flow)
            elif fusion is not None:
                features = fusion(features, flow)
        logits = answers or {m: branch.head(features[m]) for m, branch in branches.items()}
        return (logits, features) if with_features else logits

    def width(self, modality: str) -> int:
        """Channels of the last features of the modality's branch."""
        branch: Any = self.branches[modality]
        return int(branch.widths[-1])

    def branch_parameters(self, modality: str) -> list[nn.Parameter]:
        """theta_b of the paper: all parameters of the modality's branch."""
        return list(self.branches[modality].parameters())

    def encoder_parameters(self, modality: str) -> list[nn.Parameter]:
        """Those of the modality's branch but for its classifier."""
        branch: Any = self.branches[modality]
        return list(branch.stages.parameters())

    def head_parameters(self) -> list[nn.Parameter]:
        """Those of all classifiers."""
        late = [f for f in self.fusions.values() if isinstance(f, LateFusion)]
        heads: list[Any] = late or [branch.head for branch in self.branches.values()]
        return [p for head in heads for p in head.parameters()]


def _check(branches: Mapping[str, nn.Module], fusions: Mapping[int, Fusion]) -> None:
    for what, given in (("branches", branches), ("fusions", fusions)):
        if not isinstance(given, Mapping):
            raise TypeError(
                f"{what} is a {type(given).__name__}: expected a dict, of modality -> branch and of"
                " stage -> fusion module"
            )
    for m, branch in branches.items():
        if not isinstance(getattr(branch, "stages", nn.ModuleList()), nn.Module):
            raise TypeError(
                f"the stages of branch {m!r} have to be an nn.ModuleList or nn.Sequential: parameters in a"
                " plain list are neither trained nor saved"
            )
    require_names(branches)
    stages = {m: len(getattr(branch, "stages", [])) for m, branch in branches.items()}
    if len(set(stages.values())) != 1 or 0 in stages.values():
        raise ValueError(f"branches need as many stages each, and one at least; given {stages}")
    for stage, fusion in fusions.items():
        if not isinstance(fusion, Fusion):
            raise TypeError(
                f"the fusion after stage {stage} is a {type(fusion).__name__}; it has to be an"
                " equimodal.fusion.base.Fusion, so that it can be measured and re-balanced"
            )
        if tuple(fusion.modalities) != tuple(branches):  # a mode is an index of both
            raise ValueError(
                f"the fusion after stage {stage} joins {list(fusion.modalities)}, the branches are"
                f" {list(branches)}; name the same in the same order"
            )
        heads = {m: getattr(branch, "head", None) for m, branch in branches.items()}
        if isinstance(fusion, LateFusion) and any(
            not isinstance(head, nn.Identity) for head in heads.values()
        ):
            raise TypeError(
                "LateFusion returns the logits, so that the head of each branch has to be nn.Identity()"
            )
        if stage not in range(1, max(stages.values()) + 1):
            raise ValueError(f"there is no stage {stage!r}: the branches have {stages}")


def fused(logits: Logits) -> Float[Tensor, "batch classes"]:
    """Return the network's prediction: the mean of the branches' logits (Eq. 3)."""
    return torch.stack(list(logits.values())).mean(0)
