"""Balancing in PyTorch Lightning: `pip install '<this folder>[lightning]'`."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from equimodal.fusion.base import require_whole
from equimodal.training.balancer import Balancer


class BalanceCallback(Callback):
    """Take a `Balancer` through a Lightning training; `training_step` calls the model with its `flow`.

    It sees gradients after they were accumulated and unscaled, and before they are clipped. What
    `Balancer.scalars` says is logged every `log_every_n_steps`, and the state is in each checkpoint.
    """

    def __init__(self, balancer: Balancer):
        """Of the network that `training_step` calls."""
        self.balancer = balancer

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse strategies that shard the network, by a `ValueError`."""
        require_whole(pl_module)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Measure."""
        self.balancer.before_step(optimizer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Choose the next mode, if the batch ended a step, and log."""
        self.balancer.after_step(epoch=trainer.current_epoch + 1)
        if trainer.global_step and trainer.global_step % trainer.log_every_n_steps == 0:
            pl_module.log_dict(self.balancer.scalars(), prog_bar=True)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the balancer."""
        return self.balancer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from it."""
        self.balancer.load_state_dict(state_dict)
