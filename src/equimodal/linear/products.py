"""What the second paper's verbs make: where it lies, and when it is as it should be."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from equimodal.linear.figures import FIGURES, SIMULATED
from equimodal.linear.settings import LinearSettings
from equimodal.study import layout, steps
from equimodal.study.code import code_hash
from equimodal.study.params import Params


def record(scale: str, fusion: int | str) -> Path:
    """Course of the network on noisy MNIST fused at a layer: small, and drawn from without data."""
    return layout.RESULTS / scale / "noisy_mnist" / f"L_f{fusion}.csv"


def products(settings: LinearSettings, params: Params) -> Iterator[steps.Product]:
    """Yield all that a scale asks for of the second paper: what takes long, and what is made of it."""
    yield steps.preparation(settings.noisy_mnist.dataset, params)
    yield simulations(settings, params)
    for layer in range(1, settings.noisy_mnist.depth + 1):
        yield noisy_mnist(layer, settings, params)
    yield mnist_table(settings, params)
    for name, about in FIGURES.items():
        yield steps.figure(name, about.inputs, params)


def simulations(settings: LinearSettings, params: Params) -> steps.Product:
    """The tables of linear networks."""
    return steps.Product(
        step="linear",
        name="networks",
        scale=params.scale,
        verb="linear",
        receipt=layout.table_receipt(params.scale, "linear"),
        files=tuple(layout.table(params.scale, table) for table in SIMULATED),
        asked=partial(asked_of_simulations, settings),
    )


def asked_of_simulations(settings: LinearSettings) -> dict[str, Any]:
    """Settings and code that the linear networks are simulated with now."""
    return {
        "settings": settings.model_dump(mode="json", exclude={"note", "noisy_mnist"}),
        "code": code_hash("equimodal.linear.experiment"),
    }


def noisy_mnist(layer: int, settings: LinearSettings, params: Params) -> steps.Product:
    """The course of the network on noisy MNIST that is fused at a layer."""
    written = record(params.scale, layer)
    return steps.Product(
        step="noisy_mnist",
        name=f"L_f{layer}",
        scale=params.scale,
        verb=f"noisy-mnist {layer}",
        receipt=written.with_suffix(".json"),
        files=(written,),
        asked=partial(_asked_of_noisy_mnist, settings, params),
    )


def mnist_table(settings: LinearSettings, params: Params) -> steps.Product:
    """The table of the networks on noisy MNIST."""
    path = layout.table(params.scale, "linear_mnist")
    return steps.Product(
        step="linear_mnist",
        name="table",
        scale=params.scale,
        verb="linear-mnist",
        receipt=layout.table_receipt(params.scale, "linear_mnist"),
        files=tuple(path.with_suffix(suffix) for suffix in (".csv", ".md", ".tex")),
        asked=lambda: {"settings": settings_and_code_of_noisy_mnist(settings, params)["settings"]},
    )


def settings_and_code_of_noisy_mnist(settings: LinearSettings, params: Params) -> dict[str, Any]:
    """What the networks on noisy MNIST are trained with now, beside the digits."""
    own = settings.noisy_mnist
    gray = params.datasets[own.dataset].sources["gray"].model_dump(mode="json")
    return {
        "settings": own.model_dump(mode="json") | {"gray": gray},
        "code": code_hash("equimodal.linear.noisy_mnist"),
    }


def _asked_of_noisy_mnist(settings: LinearSettings, params: Params) -> dict[str, Any]:
    """The same with the digits; raises as `steps.require_prepared`."""
    prepared = steps.require_prepared(settings.noisy_mnist.dataset, params)
    arrays = [f"{s}.{a}.npy" for s in ("train", "test") for a in ("gray", "labels", "ids")]
    inputs = {name: prepared[name] for name in arrays}
    return settings_and_code_of_noisy_mnist(settings, params) | {"inputs": inputs}
