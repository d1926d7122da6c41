"""Balancing in the Trainer of Hugging Face: `pip install '<this folder>[transformers]'`."""

from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from equimodal.fusion.base import require_whole
from equimodal.training.balancer import Balancer

FILE = "balancer.pt"  # in the folder of a checkpoint


class BalanceCallback(TrainerCallback):
    """Take a `Balancer` through a training of the Trainer; `compute_loss` calls the model with its `flow`.

    The Trainer clips before a callback sees gradients, so it has to leave that to this one:
    `TrainingArguments(max_grad_norm=0, ...)`. What `Balancer.scalars` says joins each log, and the state lies
    in each checkpoint.
    """

    def __init__(self, balancer: Balancer, *, max_norm: float | None = None):
        """Of the network that is trained; gradients are clipped to `max_norm`, if that is given."""
        self.balancer, self.max_norm = balancer, max_norm

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Go on from a checkpoint, if the Trainer does.

        Raises:
            ValueError: If the Trainer clips, the parameters are sharded, or the checkpoint has no state.
        """
        if args.max_grad_norm:
            raise ValueError(
                f"the Trainer clips to max_grad_norm={args.max_grad_norm} before speeds are measured: pass"
                " max_grad_norm=0 to TrainingArguments, and max_norm to BalanceCallback"
            )
        require_whole(kwargs["model"])
        if state.global_step:
            file = _checkpoint(args, state)
            if not file.exists():
                raise ValueError(
                    f"{file} is not there: resume from a checkpoint in output_dir that was saved with a"
                    " BalanceCallback"
                )
            self.balancer.load_state_dict(torch.load(file, weights_only=True, map_location="cpu"))

    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        optimizer: torch.optim.Optimizer,
        **kwargs: Any,
    ) -> None:
        """Measure and clip; to log their norm, the Trainer has unscaled the gradients."""
        self.balancer.before_step(optimizer, max_norm=self.max_norm)

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Choose the next mode."""
        self.balancer.after_step(epoch=int(state.epoch or 0) + 1)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        logs: dict[str, float],
        **kwargs: Any,
    ) -> None:
        """Add to the log, for the history and the callbacks behind this one."""
        for record in (logs, state.log_history[-1]):
            record.update(self.balancer.scalars())

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Save the state of the balancer beside the network's."""
        if state.is_world_process_zero:
            torch.save(self.balancer.state_dict(), _checkpoint(args, state))


def _checkpoint(args: TrainingArguments, state: TrainerState) -> Path:
    return Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / FILE
