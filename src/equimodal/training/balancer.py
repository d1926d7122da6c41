"""Measuring and balancing in a loop, or a trainer, that knows nothing of it."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from equimodal.fusion.base import Flow
from equimodal.metrics.learning_speed import LearningSpeed, squared_gradient
from equimodal.training.own import require_all_parameters, require_training, unwrapped
from equimodal.training.policies import Policy, Vanilla, of_its_own, require_policy
from equimodal.training.step import note_held


class Balancer:
    """The speeds and the policy of a network that another loop trains (Algorithm 1).

        balancer = Balancer(model, Guided(Balance(tolerance=0.1, window=5, warmup_epochs=1)))
        logits = model(inputs, balancer.flow)
        ... loss.backward()
        balancer.step(optimizer, epoch=epoch, max_norm=1.0)  # in place of clipping and optimizer.step()

    A trainer that takes the step itself calls `before_step` and `after_step` around it.
    """

    def __init__(
        self,
        model: nn.Module,
        policy: Policy | None = None,
        speeds: LearningSpeed | None = None,
    ):
        """Begin with a regular step.

        Args:
            model: Any that has fusion modules; in torch's wrapper, if your loop calls that.
            policy: When to re-balance; measures only, if left out.
            speeds: `LearningSpeed.of(model)`, if left out.

        Raises:
            TypeError: If the policy is none.
            ValueError: As `LearningSpeed.of`, or if the speeds are of another network, the policy is of other
                modalities, or changes more than the mode, which only `train_step` lets it.
        """
        self.model = model
        self.policy = policy = Vanilla() if policy is None else policy
        self.speeds = speeds or LearningSpeed.of(model)
        self.speeds.require_of(model)
        require_policy(policy, self.speeds.modalities)
        hooks = ("forward", "losses", "backward", "modulate", "end_epoch")
        if own := of_its_own(policy, hooks):
            raise ValueError(
                f"{type(policy).__name__} has {own} of its own, which a loop of yours does not call: train a Network"
                " by train_step with it"
            )
        self._asked = False  # for the flow of this step
        self._put_back: Callable[[], None] | None = None  # between before_step and after_step

    @property
    def flow(self) -> Flow:
        """Of the passes of this step; ask anew for each. In evaluation mode it is the regular one."""
        if not self.model.training:
            return Flow()
        self._asked = True
        return Flow(rebalance=self.policy.mode)

    def step(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        epoch: int,
        max_norm: float | None = None,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        """Unscale, measure, clip and step, each if asked for and in this order, and choose the next mode.

        Args:
            optimizer: Of all parameters of the network.
            epoch: Counted from 1.
            max_norm: Of all gradients together, which are clipped to it.
            scaler: That scaled the loss.

        Raises:
            TypeError: If the optimizer makes passes of its own.
            ValueError: As `before_step`, or if nobody averages gradients over the processes of a group.
        """
        if isinstance(optimizer, torch.optim.LBFGS):
            raise TypeError(
                "LBFGS makes several passes a step: call before_step, optimizer.step(closure) and after_step in"
                " place of step"
            )
        unwrapped(self.model, training=True)
        if scaler is not None:
            scaler.unscale_(optimizer)
        self.before_step(optimizer, max_norm=max_norm)
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        self.after_step(epoch=epoch)

    def before_step(
        self, optimizer: torch.optim.Optimizer, *, max_norm: float | None = None
    ) -> None:
        """Measure, note what the step holds, and clip, if asked for.

        Gradients have to be those of the loss: accumulated, unscaled, and not clipped yet.

        Raises:
            ValueError: If there are no gradients, the optimizer lacks parameters, the network is in evaluation
                mode or has other parameters than before, a policy's flow was not asked for, the step before was
                not finished, or `max_norm` is not above 0.
        """
        require_training(self.model)
        require_all_parameters(self.model, optimizer)
        self.speeds.require_of(self.model)
        if max_norm is not None and not max_norm > 0:
            raise ValueError(
                f"max_norm is {max_norm!r}, which would undo the step or turn it round; expected a number above 0, or"
                " None for no clipping"
            )
        if self._put_back is not None:
            raise ValueError(
                "before_step was called twice for one step: take one optimizer for all parameters, which makes"
                " one pass over them a step, and call after_step"
            )
        mode = self.policy.mode
        if mode is not None and not self._asked:
            raise ValueError(
                "no pass of this step asked for the flow, so that re-balancing steps would be none: call"
                " model(inputs, balancer.flow)"
            )
        if mode is not None:  # where the network may have gone since
            mode = mode.to(next(self.model.parameters()).device)
        self.speeds.update(mode)
        self._put_back = note_held(optimizer, self.model, mode)
        if max_norm is not None:  # torch's clip_grad_norm_ takes no norm of sparse gradients
            trained = [p for group in optimizer.param_groups for p in group["params"]]
            norm = squared_gradient(trained).sqrt()
            nn.utils.clip_grads_with_norm_(trained, max_norm, norm)

    def after_step(self, *, epoch: int) -> None:
        """Put back what the step held, and choose the mode of the next; nothing if no step is under way."""
        if self._put_back is None:
            return
        self._put_back()
        self._put_back, self._asked = None, False
        self.speeds.after_step()
        self.policy.advance(self.speeds.values, epoch=epoch)

    def scalars(self) -> dict[str, float]:
        """Return what to log, after a step: speeds, d_speed of two modalities, and the mode of the next step.

        It waits for the device, so that to ask after each step would cost time.
        """
        values = self.speeds.values.tolist()
        found = {f"speed/{m}": v for m, v in zip(self.speeds.modalities, values, strict=True)}
        if len(values) == 2:
            found["d_speed"] = values[0] - values[1]
        return found | {"mode": -1.0 if self.policy.mode is None else float(self.policy.mode)}

    def state_dict(self) -> dict[str, Any]:
        """Return what the future depends on, between two steps."""
        return {
            "modalities": list(self.speeds.modalities),
            "speeds": self.speeds.state_dict(),
            "policy": self.policy.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave; a step under way is given up.

        Raises:
            ValueError: If the state is of something else, or of other modalities; then nothing is loaded.
        """
        if not isinstance(state, Mapping) or state.keys() != self.state_dict().keys():
            given = f"with {sorted(state)}" if isinstance(state, Mapping) else repr(state)
            raise ValueError(
                f"a state {given} is none of a Balancer: give what its state_dict returned"
            )
        if state["modalities"] != list(self.speeds.modalities):
            raise ValueError(
                f"the state is of the modalities {state['modalities']}, the network has"
                f" {list(self.speeds.modalities)}; name the same in the same order"
            )
        self.speeds.require_state(state["speeds"])
        self.policy.require_state(state["policy"])
        self._put_back, self._asked = None, False
        self.speeds.load_state_dict(state["speeds"])
        self.policy.load_state_dict(state["policy"])
