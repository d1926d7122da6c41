"""One update of a network: a regular step or a re-balancing step (paper, Sec. 5.2)."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from equimodal.fusion.base import Flow, held_parameters
from equimodal.metrics.learning_speed import LearningSpeed
from equimodal.metrics.sparsity import add_l1_gradient, l1_norm
from equimodal.models.network import Logits, Network
from equimodal.training.batch import Batch
from equimodal.training.own import (
    inputs_and_labels,
    processes,
    require_all_parameters,
    require_shapes,
    require_training,
    unwrapped,
)
from equimodal.training.policies import (
    Mode,
    Policy,
    of_its_own,
    require_declared,
    require_policy,
)


@dataclass(frozen=True)
class StepRules:
    """Where papers and codes differ about a step; the defaults are the paper's.

    Attributes:
        l1: Factor of the L1 penalty on all parameters of the network (Sec. 6.3).
        l1_in_speed: Whether the penalty's gradient counts in the conditional learning speeds.
        speed_sums: The steps that the speeds count.
        held_parameters: What happens to the parameters that make a gate which is constant in a
            re-balancing step: no update at all, or one with a gradient of zero, in which momentum
            and weight decay still move them.
        precision: Of the pass through the network and back: that of its weights, or 16 bits where
            torch's autocast sees no harm. Weights, gradients, loss and speeds keep theirs.
    """

    l1: float = 0.0
    l1_in_speed: bool = True
    speed_sums: Literal["regular_steps", "every_step"] = "regular_steps"
    held_parameters: Literal["skip", "zero_gradient"] = "skip"
    precision: Literal["of_weights", "bfloat16"] = "of_weights"


PAPER = StepRules()


@dataclass(frozen=True)
class StepRecord:
    """What one step leaves behind, all of it on the device."""

    loss: Float[Tensor, ""]  # what was minimized
    logits: Logits
    mode: Mode | None  # of this step
    speeds: Float64[Tensor, " modalities"] | None  # after this step; None for one modality


def train_step(
    network: Network | nn.Module,
    batch: Batch | object,
    optimizer: torch.optim.Optimizer,
    policy: Policy,
    speeds: LearningSpeed | None,
    *,
    epoch: int,
    rules: StepRules = PAPER,
    advance: bool = True,
) -> StepRecord:
    """Take one step in the policy's current mode and let the policy choose the next one.

    The loss is the sum of the policy's terms, L = sum_b CE(y, y_b) in conventional training (Eq. 4),
    and the L1 penalty if there is one. In a re-balancing step on modality b the fusion is constant
    for branch b: its running mean. The conditional learning speeds count regular steps only, unless
    the rules say otherwise.

    Nothing in here waits for the device.

    Args:
        network: A `Network`, or one in torch's wrappers; in training mode, updated in place.
        batch: The examples of this step, as `inputs_and_labels` takes them.
        optimizer: Holds the parameters of `network` and `policy`.
        policy: Updated in place.
        speeds: Updated in place; None for a uni-modal network.
        epoch: Counted from 1.
        rules: Details of the step.
        advance: Whether the policy chooses here; else the caller has it do so, such as outside of a
            CUDA graph.

    Raises:
        ValueError: If the network is in evaluation mode, in which no running mean moves, the optimizer
            lacks parameters of it, the batch lacks a modality or has one more, its labels are no class
            indices, the speeds are of modalities in another order, the policy holds parameters that it does not
            declare, or gradients would not be averaged over the processes of a group.
        TypeError: If it is no batch, no `Network` or no `Policy`, or the policy's losses are no tensor.
    """
    bare = unwrapped(network, training=True)
    if not isinstance(bare, Network):
        raise TypeError(
            f"train_step takes an equimodal.models.network.Network, given a {type(bare).__name__}: for any"
            " other write the loop of docs/own-network.md"
        )
    require_policy(policy, bare.modalities)
    require_declared(policy, bare)
    if speeds is not None:
        speeds.require_of(bare)
    if speeds is not None and speeds.modalities != bare.modalities:
        raise ValueError(
            f"the speeds are of {list(speeds.modalities)}, the network's modalities are"
            f" {list(bare.modalities)}; name the same in the same order, as a mode is an index"
        )
    hooks = ("forward", "backward", "modulate", "end_epoch")
    if processes() > 1 and (own := of_its_own(policy, hooks)):
        raise ValueError(
            f"{type(policy).__name__} has {own} of its own, which nobody averages over the {processes()}"
            " processes of the group; train with one"
        )
    require_training(network)
    require_all_parameters(network, optimizer, policy.parameters())
    mode = None if policy.mode is None else policy.mode.clone()
    inputs, labels = inputs_and_labels(batch)
    with _precision(rules, labels.device):
        logits, features = policy.forward(network, inputs, Flow(rebalance=mode, apart=policy.apart))
    if rules.precision == "bfloat16":
        logits = {m: z.float() for m, z in logits.items()}
    for m, z in logits.items():
        require_shapes(m, z, labels)
    terms = policy.losses(logits, features, labels)
    if not isinstance(terms, Tensor):
        raise TypeError(
            f"{type(policy).__name__}.losses returned a {type(terms).__name__}: expected one tensor of the terms,"
            " such as torch.stack([...])"
        )
    optimizer.zero_grad(set_to_none=True)
    policy.backward(terms, bare)
    loss = terms.detach().sum()
    if rules.l1:
        loss = loss + rules.l1 * l1_norm(network.parameters())
        if rules.l1_in_speed:
            add_l1_gradient(network.parameters(), rules.l1)
    if speeds is not None:
        speeds.update(None if rules.speed_sums == "every_step" else mode)
    if rules.l1 and not rules.l1_in_speed:
        add_l1_gradient(network.parameters(), rules.l1)
    policy.modulate(bare, {m: z.detach() for m, z in logits.items()}, labels)
    # With a penalty every parameter has a gradient: there is nothing to hold.
    if rules.l1 or rules.held_parameters == "zero_gradient":
        optimizer.step()
    else:
        step_without_held(optimizer, network, mode)
    values = None
    if speeds is not None:
        speeds.after_step()
        values = speeds.values
    if advance:
        policy.advance(values, epoch=epoch)
    return StepRecord(loss, {m: z.detach() for m, z in logits.items()}, mode, values)


def _precision(rules: StepRules, device: torch.device) -> AbstractContextManager[object]:
    # Where nothing is asked for, a loop of one's own may have an autocast of its own around the step.
    if rules.precision == "of_weights":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def step_without_held(
    optimizer: torch.optim.Optimizer,
    network: nn.Module,
    mode: Mode | None,
    step: Callable[[], object] | None = None,
) -> None:
    """Step, but leave the parameters that the mode holds, and their momentum, as they were.

    Their gradient is zero, not absent, since the mode is decided on the device: momentum alone
    would still move them.

    Args:
        optimizer: One of torch's whose state of a parameter has its shape, such as SGD. What else it
            keeps goes on: Adam counts held steps in its bias correction.
        network: Any that has fusion modules.
        mode: Of the step: -1 or None holds nothing.
        step: What takes the step if not `optimizer.step`: `lambda: scaler.step(optimizer)`, say.

    Raises:
        TypeError: If the mode is a number.
        ValueError: As `held_parameters`.
    """
    if mode is not None and not isinstance(mode, Tensor):
        raise TypeError(f"the mode of a step is the policy's tensor, given {mode!r}")
    put_back = note_held(optimizer, network, mode)
    (step or optimizer.step)()
    put_back()


def note_held(
    optimizer: torch.optim.Optimizer, network: nn.Module, mode: Mode | None
) -> Callable[[], None]:
    """Note what a step in the mode holds, before the step; what is returned puts it back after it."""
    if mode is None:
        return lambda: None
    before = [
        (mode == b, t, t.clone())
        for b, parameters in enumerate(held_parameters(network))
        for p in parameters
        for t in (p.detach(), *_states(optimizer, p))
    ]

    def put_back() -> None:
        for is_held, t, old in before:
            t.copy_(torch.where(is_held, old, t))

    return put_back


def _states(optimizer: torch.optim.Optimizer, p: nn.Parameter) -> Iterable[Tensor]:
    values = optimizer.state[p].values() if p in optimizer.state else ()
    return [v for v in values if isinstance(v, Tensor) and v.shape == p.shape]
