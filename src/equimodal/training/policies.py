"""The algorithms that are compared: what each does otherwise than conventional training.

A policy chooses the mode of the next step and forms the terms of the loss; it may also change how these
become a gradient, and the gradient. The balancing methods of others are in `training/methods`. A mode is -1 for a
regular step, b >= 0 for a re-balancing step on modality b. It is a tensor on the device where the
network trains, so that a decision never waits for the device, and is changed in place: a CUDA graph
reads and writes it where it lies.
"""

import random
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from numbers import Real

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from equimodal.fusion.base import Features, Flow, squeeze
from equimodal.models.network import Logits, Network
from equimodal.state import Stateful
from equimodal.training.balance import Balance
from equimodal.training.batch import Batch

REGULAR_MODE = -1

Mode = Int64[Tensor, ""]
Speeds = Float64[Tensor, " modalities"]


def modality_losses(
    logits: Logits, labels: Int64[Tensor, " batch"]
) -> Float[Tensor, " modalities"]:
    """Return the cross-entropy of each branch's logits (the terms of Eq. 4)."""
    return torch.stack([F.cross_entropy(z, labels) for z in logits.values()])


class Policy(Stateful):
    """One algorithm; as it stands, conventional training with regular steps only.

    `train_step` calls, in this order: `forward`, `losses`, `backward`, `modulate`, `advance`. The loop calls
    `end_epoch`. None of those that a step calls may wait for the device.
    """

    mode: Mode | None = None  # of the next step; None where all steps are regular
    apart = False  # whether its loss takes of a late fusion each branch's share, not the answer
    trains = True  # whether it takes steps at all
    draws_on_host = False  # whether `advance` is out of reach of a CUDA graph
    draws_on_device = False  # whether a step draws: the host seeds it, so no CUDA graph holds it

    def advance(self, speeds: Speeds | None, *, epoch: int) -> None:
        """Choose the mode of the next step.

        Args:
            speeds: Conditional learning speed of each branch, the step just taken included; None
                for a uni-modal network.
            epoch: Epoch of the step just taken, counted from 1.
        """

    def losses(
        self, logits: Logits, features: Features, labels: Int64[Tensor, " batch"]
    ) -> Float[Tensor, " terms"]:
        """Return the terms of the loss, whose sum is minimized (Eq. 4)."""
        return modality_losses(logits, labels)

    def forward(
        self, network: nn.Module, inputs: Mapping[str, Tensor], flow: Flow
    ) -> tuple[Logits, Features]:
        """Return the logits of each branch, and the last features."""
        answer: tuple[Logits, Features] = network(inputs, flow, with_features=True)
        return answer

    def backward(self, terms: Float[Tensor, " terms"], network: Network) -> None:
        """Set the gradients of the network's parameters, which are None before."""
        terms.sum().backward()

    def modulate(self, network: Network, logits: Logits, labels: Int64[Tensor, " batch"]) -> None:
        """Change the gradients in place, once the speeds have seen them."""

    def end_epoch(self, network: Network, splits: Mapping[str, Iterable[Batch]]) -> None:
        """Look back on an epoch; may leave the network in evaluation mode.

        Args:
            network: As the epoch left it.
            splits: Batches of `train`, as in evaluation, and of `validation` if there is one beside the
                test set, which no policy ever sees.
        """

    def numbers(self, epoch: int) -> Hashable:
        """All that a step in this epoch takes from Python: a CUDA graph holds it as it was."""
        return ()

    def parameters(self) -> Iterable[nn.Parameter]:
        """Parameters that are trained with the network's and are not part of it; the state has them."""
        return ()

    def state_dict(self) -> dict[str, Tensor]:
        """Return what is `kept`, and the parameters by their number."""
        learned = {str(i): p.detach().clone() for i, p in enumerate(self.parameters())}
        return super().state_dict() | learned

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state_dict` gave; raises as `require_state`."""
        super().load_state_dict(state)
        for i, p in enumerate(self.parameters()):
            p.detach().copy_(state[str(i)])


class Vanilla(Policy):
    """Conventional training: regular steps only."""


class Guided(Policy):
    """Re-balance on the branch that leans on the other modality (Algorithm 1).

    After a regular step, once the warm-up is over: if the speeds are further apart than the
    tolerance, the next `window` steps re-balance on the branch of the highest speed, the one whose
    fusion does the learning for it. One regular step always follows, and the test is made again.
    With more than two modalities the distance is that of the highest and the lowest speed.
    """

    kept = ("mode", "taken")

    def __init__(self, balance: Balance, device: torch.device | str = "cpu"):
        """Start with a regular step.

        Raises:
            TypeError: If the settings are no `Balance`.
        """
        if not isinstance(balance, Balance):
            raise TypeError(
                f"Guided takes a Balance(tolerance=..., window=..., warmup_epochs=...), given {balance!r}"
            )
        self.balance = balance
        self.mode: Mode = torch.tensor(REGULAR_MODE, device=device)
        self.taken = torch.tensor(0, device=device)

    def advance(self, speeds: Speeds | None, *, epoch: int) -> None:
        """Start, go on with, or end a window of re-balancing steps.

        Raises:
            ValueError: If there are no speeds to compare, or epochs do not count from 1.
            TypeError: If the speeds are the meter itself.
        """
        if speeds is None:
            raise ValueError(
                "guided training compares the speeds of modalities: give train_step the LearningSpeed of the"
                " network; a uni-modal one has nothing to compare"
            )
        if not isinstance(speeds, Tensor):
            raise TypeError(f"advance takes speeds.values, given a {type(speeds).__name__}")
        _require_from_1(epoch)
        regular = self.mode == REGULAR_MODE
        self.taken.copy_(torch.where(regular, 0, self.taken + 1))
        start = regular & (speeds.max() - speeds.min() > self.balance.tolerance)
        if epoch <= self.balance.warmup_epochs:
            start = torch.zeros_like(start)
        end = ~regular & (self.taken >= self.balance.window)
        going_on = torch.where(end, REGULAR_MODE, self.mode)
        self.mode.copy_(torch.where(start, speeds.argmax(), going_on))

    def numbers(self, epoch: int) -> bool:
        """Whether the warm-up lasts."""
        return epoch <= self.balance.warmup_epochs


class Random(Policy):
    """After the warm-up, any kind of step with equal chance: regular, or on any modality (Sec. 6.4).

    Either as the official code draws it, `random.Random(seed).choice([0, 1, 2])` after each step, where
    0 is a regular step, 1 one on m1 and 2 one on m0; or from a torch generator, which no other code has.

    # ASSUME: with more than two modalities the official code's numbers go on: of K, k means K - k.
    """

    draws_on_host = True
    kept = ("mode",)

    def __init__(
        self,
        modalities: Collection[str],
        *,
        warmup_epochs: int,
        seed: int,
        as_official: bool = False,
        device: torch.device | str = "cpu",
    ):
        """Start with a regular step.

        Args:
            modalities: Those of the network.
            warmup_epochs: Epochs of regular steps only.
            seed: Of the choices; nothing else draws from them.
            as_official: Whether Python's `random` draws them, as in the official code.
            device: Where the network trains.

        Raises:
            TypeError: If the modalities are one text.
            ValueError: If there are fewer than two.
        """
        if isinstance(modalities, str):
            raise TypeError(f"modalities are names, such as ({modalities!r}, ...), given one text")
        if len(modalities) < 2:
            raise ValueError(
                f"there is nothing to balance between {list(modalities)}: random training takes the names of"
                " two modalities or more"
            )
        self.modalities = tuple(modalities)
        self._kinds = len(modalities) + 1
        self.warmup_epochs = warmup_epochs
        self.mode: Mode = torch.tensor(REGULAR_MODE, device=device)
        self._official = random.Random(seed) if as_official else None
        self._generator = torch.Generator().manual_seed(seed)

    def advance(self, speeds: Speeds | None, *, epoch: int) -> None:
        """Draw the next step; the step after the warm-up's last one is regular still.

        Raises:
            ValueError: If epochs do not count from 1.
        """
        _require_from_1(epoch)
        if epoch > self.warmup_epochs:
            self.mode.fill_(self._draw())

    def _draw(self) -> int:
        if self._official is None:
            drawn = torch.randint(self._kinds, (), generator=self._generator)  # on the host
            return int(drawn) + REGULAR_MODE
        choice = self._official.choice(range(self._kinds))
        return self._kinds - 1 - choice if choice else REGULAR_MODE

    def state_dict(self) -> dict[str, Tensor]:
        """Return the current mode, and where the sequence of choices is."""
        if self._official is None:
            sequence = self._generator.get_state()
        else:
            sequence = torch.tensor(self._official.getstate()[1])
        return super().state_dict() | {"generator": sequence}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on with the sequence."""
        super().load_state_dict(state)
        if self._official is None:
            self._generator.set_state(state["generator"].cpu())
        else:
            version, _, gauss = self._official.getstate()
            self._official.setstate((version, tuple(state["generator"].tolist()), gauss))


class RUBi(Policy):
    """Mask the logits by what a biased modality alone would answer (Cadene et al., 2019).

    With q the pooled last features of the biased branch, gradient blocked,

        L = sum_b CE(y, y_b * sigmoid(c_1(q))) + weight * CE(y, c_2(c_1(q))),

    c_1 an MLP and c_2 a linear layer. Predictions use the logits without the mask.

    # ASSUME: the paper says no more than that RUBi was used. Biased modality, source of q, the mask
    # on both branches and the shape of c_1 are our choices.
    """

    def __init__(
        self,
        modality: str,
        *,
        features: int,
        classes: int,
        hidden_layers: int,
        weight: float,
        seed: int,
        device: torch.device | str = "cpu",
    ):
        """Build c_1 and c_2.

        Args:
            modality: The biased one.
            features: Channels of the biased branch's last features.
            classes: Number of classes.
            hidden_layers: Of c_1.
            weight: Of the loss of the bias.
            seed: Of the initial weights; the network's are not touched.
            device: Where the network trains.

        Raises:
            ValueError: If the weight or the number of layers is negative or not finite.
        """
        if hidden_layers < 0 or not 0 <= weight < float("inf"):
            raise ValueError(
                f"hidden_layers is {hidden_layers} and weight {weight}; expected numbers from 0 on"
            )
        self.modality, self.weight = modality, weight
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers: list[nn.Module] = []
            for _ in range(hidden_layers):
                layers += [nn.Linear(features, features), nn.ReLU()]
            self._c1 = nn.Sequential(*layers, nn.Linear(features, classes)).to(device)
            self._c2 = nn.Linear(classes, classes).to(device)

    def losses(
        self, logits: Logits, features: Features, labels: Int64[Tensor, " batch"]
    ) -> Float[Tensor, " terms"]:
        """Return the masked cross-entropy of each branch and the weighted one of the bias.

        Raises:
            ValueError: If the biased modality is none of the network's.
        """
        if self.modality not in features:
            raise ValueError(
                f"RUBi takes {self.modality!r} for the biased modality; the network has {list(features)}"
            )
        q = squeeze(features[self.modality]).detach().to(self._c2.weight.dtype)
        bias = self._c1(q)
        masked = {m: z * bias.sigmoid() for m, z in logits.items()}
        bias_loss = self.weight * F.cross_entropy(self._c2(bias), labels)
        return torch.cat([modality_losses(masked, labels), bias_loss[None]])

    def parameters(self) -> list[nn.Parameter]:
        """Weights of c_1 and c_2."""
        return [*self._c1.parameters(), *self._c2.parameters()]


def require_policy(policy: object, modalities: tuple[str, ...]) -> None:
    """Check that a policy is one, and of the network's modalities.

    Raises:
        TypeError: If it is no `Policy`, or its mode no tensor.
        ValueError: If it chooses among other modalities, or the same in another order.
    """
    if not isinstance(policy, Policy):
        raise TypeError(f"expected a policy, such as Guided(Balance(...)), given {policy!r}")
    if not isinstance(policy.mode, Tensor | None):
        raise TypeError(
            f"the mode of {type(policy).__name__} is {policy.mode!r}: expected a tensor that it changes in place,"
            " torch.tensor(-1) for a regular step, or None where all steps are regular"
        )
    chosen_from = tuple(getattr(policy, "modalities", modalities))
    if chosen_from != modalities:
        raise ValueError(
            f"the policy chooses among {list(chosen_from)}, the network's modalities are"
            f" {list(modalities)}; name the same in the same order, as a mode is an index"
        )


def require_declared(policy: Policy, network: nn.Module) -> None:
    """Check that no parameter that a policy holds is forgotten; ValueError if so, as nobody would train it."""
    held = {id(p): name for name, value in vars(policy).items() for p in _held(value)}
    for p in policy.parameters() if held else ():
        held.pop(id(p), None)
    for p in network.parameters() if held else ():
        held.pop(id(p), None)
    if lost := sorted({*held.values()}):
        raise ValueError(
            f"{type(policy).__name__} holds parameters in {lost} that its parameters() does not return, so that nobody"
            " would train them: return them there, or call requires_grad_(False) on what is not to be trained"
        )


def _held(value: object) -> Iterator[nn.Parameter]:
    """Parameters to be trained in an attribute: itself, of a module, or in a list, tuple or dict."""
    if isinstance(value, nn.Module):
        value = list(value.parameters())
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, nn.Parameter):
        yield from [value] * value.requires_grad
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _held(one)


def of_its_own(policy: Policy, hooks: Iterable[str]) -> list[str]:
    """Return those of the hooks that a policy overrides, and `parameters` if it has some."""
    own = [hook for hook in hooks if getattr(type(policy), hook) is not getattr(Policy, hook)]
    return own + ["parameters"] * bool(list(policy.parameters()))


def _require_from_1(epoch: int) -> None:
    if not isinstance(epoch, Real) or not epoch >= 1:
        raise ValueError(f"epoch is {epoch!r}; epochs count from 1, or the warm-up is too long")
