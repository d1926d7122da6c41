"""Measure the greed of a multi-modal network, watch it while training, and mend it.

After Wu, Jastrzebski, Cho and Geras, "Characterizing and overcoming the greedy nature of learning in
multi-modal deep neural networks", ICML 2022.

Join the branches of a network by fusion modules that can be switched off:
    MMTM, FiLM, LateFusion: the modules; each takes features by modality and a `Flow`.
    Fusion: what a module of your own subclasses.
    Flow: how a pass treats them: regular, re-balancing, isolated.
    Network: branches cut into stages, with fusion modules between them.
    fused: its prediction, the mean of the branches' logits.

Measure:
    conditional_utilization: what share of its accuracy each branch owes to the others (Eqs. 6 to 10).
    LearningSpeed: how fast the fusion learns compared with the branch, step by step (Eqs. 11 and 12).
    evaluations: every way of evaluating a network, by name.

Train:
    Vanilla, Guided, Random, RUBi: the policies; `Policy` is what one of your own subclasses.
    Balance: when guided training re-balances (Algorithm 1).
    train_step: one step of a `Network` under a policy; it takes a `Batch`.
    Balancer: measures and balances in a loop, or a trainer, of your own.
    step_without_held: in place of `optimizer.step()`, where you write that step out.

docs/own-network.md shows both a loop of your own and `train_step`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

if TYPE_CHECKING:
    from equimodal.fusion.base import Flow, Fusion
    from equimodal.fusion.film import FiLM
    from equimodal.fusion.late import LateFusion
    from equimodal.fusion.mmtm import MMTM
    from equimodal.metrics.learning_speed import LearningSpeed
    from equimodal.models.network import Network, fused
    from equimodal.training.balance import Balance
    from equimodal.training.balancer import Balancer
    from equimodal.training.batch import Batch
    from equimodal.training.evaluate import conditional_utilization, evaluations
    from equimodal.training.policies import Guided, Policy, Random, RUBi, Vanilla
    from equimodal.training.step import step_without_held, train_step

__all__ = [
    "MMTM",
    "Balance",
    "Balancer",
    "Batch",
    "FiLM",
    "Flow",
    "Fusion",
    "Guided",
    "LateFusion",
    "LearningSpeed",
    "Network",
    "Policy",
    "RUBi",
    "Random",
    "Vanilla",
    "conditional_utilization",
    "evaluations",
    "fused",
    "step_without_held",
    "train_step",
]

# The study reads settings and draws figures without torch, so a name is imported when it is asked for.
_HOME = {
    "fusion.base": ("Flow", "Fusion"),
    "fusion.film": ("FiLM",),
    "fusion.late": ("LateFusion",),
    "fusion.mmtm": ("MMTM",),
    "metrics.learning_speed": ("LearningSpeed",),
    "models.network": ("Network", "fused"),
    "training.balance": ("Balance",),
    "training.balancer": ("Balancer",),
    "training.batch": ("Batch",),
    "training.evaluate": ("conditional_utilization", "evaluations"),
    "training.policies": ("Guided", "Policy", "Random", "RUBi", "Vanilla"),
    "training.step": ("step_without_held", "train_step"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
