"""Networks and policies as the spec of a run asks for them."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from equimodal.fusion.base import Fusion
from equimodal.fusion.late import LateFusion
from equimodal.fusion.mmtm import MMTM
from equimodal.fusion.squeeze_excite import SqueezeExcite
from equimodal.fusion.squeezed import RunningMean
from equimodal.models.network import Network
from equimodal.study import layout
from equimodal.study.errors import UserError
from equimodal.study.files import read_text, reading
from equimodal.study.methods import METHODS
from equimodal.study.pickles import load_weights
from equimodal.study.spec import OFFICIAL_SEED, RubiSettings, RunSpec
from equimodal.training.balance import Balance
from equimodal.training.policies import Guided, Policy, Random, RUBi, Vanilla

BRANCHES = {
    "four_conv": "FourConvBranch",
    "four_layers": "FourLayersBranch",
    "resnet18": "ResNet18Branch",
    "i3d": "I3DBranch",
}
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}  # by the kernel's dimensions


def build_network(spec: RunSpec, device: torch.device | str = "cpu") -> Network:
    """Build the network of a run, in channels-last memory, its weights drawn from the run's seed.

    The same seed gives the same weights whatever the policy, so that policies can be compared in pairs. The random state
    outside is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        kind = spec.network.kind
        # By name, so that the code of a run is that of its own kind of branch (`steps.training_code`).
        branch = getattr(import_module(f"equimodal.models.{kind}"), BRANCHES[kind])
        settings = spec.network.model_dump(exclude={"kind", "fused_after", "classifier"})
        axes = {m: {"axes": x.axes} for m, x in spec.modalities.items() if kind == "four_layers"}
        branches = {
            m: branch(x.channels, spec.classes, **settings, **axes.get(m, {}))
            for m, x in spec.modalities.items()
        }
        fusions = {
            stage: _build_fusion(spec, {m: b.widths[stage - 1] for m, b in branches.items()})
            for stage in spec.network.fused_after
        }
        if not fusions and len(branches) > 1:
            fusions = {len(next(iter(branches.values())).stages): _late(spec, branches)}
        network = Network(branches, fusions).to(device)
    for p in network.parameters():
        if p.ndim in CHANNELS_LAST:
            p.data = p.data.contiguous(memory_format=CHANNELS_LAST[p.ndim])
    return network


@contextmanager
def arithmetic(spec: RunSpec) -> Iterator[None]:
    """Have GPUs multiply float32 with all its digits, which torch alone does not, or as TF32, while inside."""
    multiply, convolve = torch.backends.cuda.matmul, torch.backends.cudnn
    before = multiply.allow_tf32, convolve.allow_tf32
    multiply.allow_tf32 = convolve.allow_tf32 = spec.switches.arithmetic == "tf32"
    try:
        yield
    finally:
        multiply.allow_tf32, convolve.allow_tf32 = before


def start_from(network: Network, kind: str, path: Path) -> None:
    """Set every branch of a network, but for its classifier, to weights that were trained before.

    Those of a run with the same `kind` of branch, whose first branch is taken for all; or of I3D, a file of Kinetics. What
    is in the file tells which. UserError if it is missing, damaged or does not fit.
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
    if kind != "i3d":
        raise UserError(
            f"{path} can not be loaded into branches of kind {kind}; give the weights of a run: results/<scale>/models/<run>.pt"
        )
    # By name too: only runs that start from weights depend on this code.
    weights_of_others = import_module("equimodal.study.runs.weights")
    for branch in network.branches.values():
        weights_of_others.load_kinetics(branch, path)


def is_finished(folder: Path) -> bool:
    """Say whether a run ended well, or failed; UserError if its outcome is missing or damaged."""
    path = folder / layout.OUTCOME
    with reading(path, "how the run ended", "train the run"):
        match json.loads(read_text(path)):
            case {"status": "finished" | "failed" as status}:
                return bool(status == "finished")
        raise ValueError("it does not say so")


def failed_before(spec: RunSpec) -> str | None:
    """Say of which failed run this one reads a file; None if of none."""
    for file in map(Path, spec.reads):
        folder = layout.folder_of(file)
        if folder is not None and (folder / layout.OUTCOME).exists() and not is_finished(folder):
            return f"it reads {file}, of a run that failed"
    return None


def take_branches(network: Network, files: Mapping[str, str]) -> None:
    """Set each branch of a network without fusion, classifier too, to that of a uni-modal run.

    UserError if a file is missing, damaged or does not fit.
    """
    late: Any
    branch: Any
    (late,) = network.fusions.values()
    for m, file in files.items():
        path, branch = Path(file), network.branches[m]
        if not path.exists():
            raise UserError(f"{path} is missing; train that run first")
        state = load_weights(path)
        for part, module in (("stages", branch.stages), ("head", late.excite[m])):
            prefix = f"branches.{m}.{part}."
            own = {n.removeprefix(prefix): x for n, x in state.items() if n.startswith(prefix)}
            try:
                module.load_state_dict(own)
            except RuntimeError as error:
                reason = " ".join(str(error).split())
                raise UserError(f"{path} does not fit the network: {reason}") from None


def read_losses(file: str) -> tuple[list[float], list[float]]:
    """Read the training and validation losses of a run's epochs from its history; UserError if it has none."""
    path = Path(file)
    with reading(path, "the losses of a run by epoch", "train that run"):
        rows = list(csv.DictReader(read_text(path).splitlines()))
        train, validation = ([float(r[f"{s}_loss"]) for r in rows] for s in ("train", "validation"))
        if not rows:
            raise ValueError("it has no epoch: the run failed")
        return train, validation


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


def _late(spec: RunSpec, branches: dict[str, Any]) -> LateFusion:
    """The fusion of branches that nothing else joins; it takes their classifiers."""
    widths = {m: branch.widths[-1] for m, branch in branches.items()}
    heads = {m: branch.head for m, branch in branches.items()}
    for branch in branches.values():
        branch.head = nn.Identity()
    own = spec.network.classifier == "own"
    return LateFusion(widths, spec.classes, heads if own else None)


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


def method_of(module: ModuleType, network: Network, **given: Any) -> Policy:
    """Build the method of a module; UserError if the module and its entry of `METHODS` do not fit each other."""
    rule: Callable[..., Policy] | None = getattr(module, "METHOD", None)
    if rule is None:
        raise UserError(
            f"{module.__file__} has no METHOD; end it with METHOD = <the class of the method>"
        )
    try:
        signature(rule).bind(network, **given)
    except TypeError as error:
        raise UserError(
            f"{module.__file__}: METHOD does not fit its entry in METHODS ({error}); it has to take {sorted(given)}"
        ) from None
    return rule(network, **given)


def build_policy(spec: RunSpec, network: Network, device: torch.device | str = "cpu") -> Policy:
    """Build the policy that a run names; one of uni-modal runs has the network take their weights.

    UserError if a file of another run is missing, damaged or does not fit; ValueError if no policy has that name.
    """
    if spec.policy in METHODS:
        method = METHODS[spec.policy]
        given: dict[str, Any] = dict(spec.parameters or {})
        if method.members == "weights":
            take_branches(network, spec.members or {})
        if method.members == "histories":
            given["histories"] = {k: read_losses(p) for k, p in (spec.members or {}).items()}
        # By name, so that the code of a run is that of its own method (`steps.training_code`).
        module = import_module(f"equimodal.training.methods.{spec.policy}")
        with torch.random.fork_rng(devices=[]):  # what it learns starts from the run's seed, too
            torch.manual_seed(spec.seed)
            return method_of(module, network, classes=spec.classes, seed=spec.seed, **given)
    match spec:
        case RunSpec(policy="vanilla"):
            return Vanilla()
        case RunSpec(policy="guided", balance=Balance() as balance):
            return Guided(balance, device)
        case RunSpec(policy="random", balance=Balance() as balance):
            choices = spec.switches.random_choices
            return Random(
                spec.modalities,
                warmup_epochs=balance.warmup_epochs,
                seed=spec.seed if choices == "per_run" else OFFICIAL_SEED,
                as_official=choices == "shared",
                device=device,
            )
        case RunSpec(policy="rubi", rubi=RubiSettings() as rubi):
            return RUBi(
                **rubi.model_dump(),
                features=network.width(rubi.modality),
                classes=spec.classes,
                seed=spec.seed,
                device=device,
            )
    raise ValueError(f"no policy {spec.policy!r} with the settings of {spec.name}")
