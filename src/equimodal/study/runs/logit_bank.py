"""The evaluate verb: the answers of a trained run, kept so that no number needs the model again."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from equimodal.models.network import Network
from equimodal.study.data.split import Split, Views, draw_views, load_split
from equimodal.study.errors import UserError, first_line
from equimodal.study.files import require_places, save_arrays
from equimodal.study.pickles import load_weights
from equimodal.study.runs.build import arithmetic, build_network, is_finished
from equimodal.study.runs.probe import linear_probes
from equimodal.study.runs.score import predict
from equimodal.study.runs.switched_off import (
    predict_permuted,
    predict_with_class_means,
    record_mean_squeezes,
)
from equimodal.study.spec import read_spec
from equimodal.training.evaluate import evaluations

BY_LABEL = "by_label"  # evaluations `regular_by_label` and `isolated_by_label`


def evaluate_run(
    folder: Path,
    *,
    model: Path,
    data: Path,
    out: Path,
    by_label: Mapping[str, str] = MappingProxyType({}),
    device: str = "cpu",
) -> None:
    """Write the logit bank of a run: `ids`, `labels`, and logits under every way of evaluating.

    Logits are float16 of shape (n, classes), named `<evaluation>/<modality>`, one array for each branch. A failed run gets
    a bank without logits. `by_label`: source -> array of the same test examples, biased as those for training are.

    UserError if a file is missing or damaged, `out` can not be written, or the network has diverged.
    """
    require_places(out)
    spec = read_spec(folder)
    load = partial(
        load_split,
        data,
        classes=spec.classes,
        clip=spec.augmentation.clip,
        device=device,
    )
    test = load("test", modalities=spec.modalities)
    bank = {"ids": test.ids, "labels": test.labels}
    if is_finished(folder):
        network = build_network(spec, device)
        _load_weights(network, model, device)
        train = load("train", modalities=spec.modalities)
        views = draw_views(train, spec.augmentation, [spec.seed, 0, 3])
        seen = views if spec.switches.squeeze_flips else None
        biased = {
            m: x.model_copy(update={"source": by_label.get(x.source, x.source)})
            for m, x in spec.modalities.items()
        }
        recolored = load("test", modalities=biased) if by_label else None
        with arithmetic(spec):
            bank |= _answers(network, train, test, recolored, seen, seed=spec.seed)
            if "probes" in spec.switches.measured:
                probes = linear_probes(network, train, test, spec.classes)
                bank |= {f"probe/{m}": z.half() for m, z in probes.items()}
    save_arrays(out, {name: x.cpu().numpy() for name, x in bank.items()})


def _answers(
    network: Network,
    train: Split,
    test: Split,
    recolored: Split | None,
    views: Views | None,
    *,
    seed: int,
) -> dict[str, Tensor]:
    """Logits under every way of evaluating, and with the others switched off in further ways.

    Of recolored test examples, those that the utilization needs.
    """
    record_mean_squeezes(network, train, views)
    answers = {
        evaluation: predict(network, test, flow)
        for evaluation, flow in evaluations(network).items()
    }
    if recolored is not None:
        answers |= {
            f"{evaluation}_{BY_LABEL}": predict(network, recolored, flow)
            for evaluation, flow in evaluations(network).items()
            if evaluation in ("regular", "isolated")
        }
    if len(network.modalities) > 1:
        answers["permuted"] = predict_permuted(network, test, seed)
        answers["class_mean"] = predict_with_class_means(network, train, test, views)
    bank = {f"{way}/{m}": z for way, logits in answers.items() for m, z in logits.items()}
    for name, z in bank.items():
        if not z.isfinite().all():
            raise UserError(
                f"{name}: answers of the trained network are NaN or infinite: it has diverged; leave the run"
                " out, or lower its learning rate"
            )
    largest = torch.finfo(torch.float16).max
    return {name: z.clamp(-largest, largest).half() for name, z in bank.items()}


def _load_weights(network: Network, path: Path, device: str) -> None:
    if not path.exists():
        raise UserError(f"{path} is missing; train the run first")
    try:
        network.load_state_dict(load_weights(path, device))
    except RuntimeError as error:
        raise UserError(
            f"{path} does not hold the weights of this run ({first_line(error)}); delete"
            " it and train the run again"
        ) from error
