"""Branches joined by fusion modules: the networks of the study."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from equimodal.errors import UserError
from equimodal.fusion.base import REGULAR, Features, Flow, Fusion
from equimodal.fusion.mmtm import MMTM
from equimodal.fusion.squeeze_excite import SqueezeExcite
from equimodal.fusion.squeezed import RunningMean
from equimodal.pickles import load_weights
from equimodal.spec import RunSpec

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}  # by the kernel's dimensions

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

        Raises:
            TypeError: If a fusion is not a `Fusion`.
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
        for stage in range(len(branches[self.modalities[0]].stages)):
            features = {m: b.stages[stage](features[m]) for m, b in branches.items()}
            if str(stage + 1) in self.fusions:
                features = self.fusions[str(stage + 1)](features, flow)
        logits = {m: branch.head(features[m]) for m, branch in branches.items()}
        return (logits, features) if with_features else logits

    def width(self, modality: str) -> int:
        """Channels of the last features of the modality's branch."""
        branch: Any = self.branches[modality]
        return int(branch.widths[-1])

    def branch_parameters(self, modality: str) -> list[nn.Parameter]:
        """theta_b of the paper: all parameters of the modality's branch."""
        return list(self.branches[modality].parameters())


def _check(branches: Mapping[str, nn.Module], fusions: Mapping[int, Fusion]) -> None:
    for m, branch in branches.items():
        if not isinstance(getattr(branch, "stages", nn.ModuleList()), nn.Module):
            raise TypeError(
                f"the stages of branch {m!r} have to be an nn.ModuleList or nn.Sequential: parameters in a"
                " plain list are neither trained nor saved"
            )
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
        if not 1 <= stage <= max(stages.values()):
            raise ValueError(f"there is no stage {stage}: the branches have {stages}")


def fused(logits: Logits) -> Float[Tensor, "batch classes"]:
    """Return the network's prediction: the mean of the branches' logits (Eq. 3)."""
    return torch.stack(list(logits.values())).mean(0)


def build_network(spec: RunSpec, device: torch.device | str = "cpu") -> Network:
    """Build the network of a run, in channels-last memory, its weights drawn from the run's seed.

    The branches come from `build` of the module that the network's kind names.

    The same seed gives the same weights whatever the policy, so that policies can be compared in
    pairs. The random state outside is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        kind = import_module(f"equimodal.models.{spec.network.kind}")
        branches = {
            m: kind.build(spec.network, channels=x.channels, classes=spec.classes)
            for m, x in spec.modalities.items()
        }
        fusions = {
            stage: _build_fusion(spec, {m: b.widths[stage - 1] for m, b in branches.items()})
            for stage in spec.network.fused_after
        }
        network = Network(branches, fusions).to(device)
    for p in network.parameters():
        if p.ndim in CHANNELS_LAST:
            p.data = p.data.contiguous(memory_format=CHANNELS_LAST[p.ndim])
    return network


def start_from(network: Network, kind: str, path: Path) -> None:
    """Set every branch, but for its classifier, to weights that were trained before.

    Args:
        network: Changed in place.
        kind: Of its branches; the module of that name loads files that are not of ours.
        path: The weights of a run with the same kind of branch, whose first branch is taken for all; or
            a file that `load_pretrained` of the kind's module reads. What is in it tells which.

    Raises:
        UserError: If the file is missing, damaged or does not fit.
    """
    if weights := _stages_of_run(path):
        for branch in network.branches.values():
            stages: Any = branch.stages
            try:
                stages.load_state_dict(weights)
            except RuntimeError as error:
                reason = " ".join(str(error).split())
                raise UserError(f"{path} does not fit the network: {reason}") from None
        return
    load = getattr(import_module(f"equimodal.models.{kind}"), "load_pretrained", None)
    if load is None:
        raise UserError(
            f"{path} can not be loaded into branches of kind {kind}; give the weights of a run: results/<scale>/models/<run>.pt"
        )
    for branch in network.branches.values():
        load(branch, path)


def _stages_of_run(path: Path) -> dict[str, Tensor]:
    """Weights of the first branch, but for its classifier; empty if the file is no run's."""
    if path.suffix != ".pt":
        return {}
    if not path.exists():
        raise UserError(f"{path} is missing; if it is that of a run, train that run first")
    state = load_weights(path)
    parts = [name.split(".", 3) for name in state if name.startswith("branches.")]
    first = parts[0][1] if parts else None
    prefix = f"branches.{first}.stages."
    return {n.removeprefix(prefix): x for n, x in state.items() if n.startswith(prefix)}


def _build_fusion(spec: RunSpec, channels: dict[str, int]) -> Fusion:
    switches = spec.switches
    if len(channels) == 1:
        ((modality, width),) = channels.items()
        return SqueezeExcite(
            modality, width, squeeze_ratio=switches.squeeze_ratio, gate_scale=switches.gate_scale
        )
    return MMTM(
        channels,
        squeeze_ratio=switches.squeeze_ratio,
        gate_scale=switches.gate_scale,
        running_mean=RunningMean(
            of=switches.mean_gate_of,
            source=switches.mean_gate_source,
            updates=switches.mean_gate_updates,
            weights=switches.mean_gate_weights,
        ),
    )
