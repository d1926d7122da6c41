"""What a run measures beside the usual, where it is asked for."""

import numpy as np
import pytest
import torch

from equimodal.study.analysis.collect import measures
from equimodal.study.files import save_arrays
from equimodal.study.runs.loop import Training
from equimodal.study.runs.probe import linear_probes
from equimodal.study.runs.score import mean_cosines
from equimodal.training.policies import modality_losses
from tests.training.conftest import VANILLA, small_spec


def test_cosines_of_gradients_are_logged_where_asked_and_change_no_weight(splits):
    plain, asked = (
        Training(spec, splits(spec))
        for spec in (small_spec(VANILLA, switches=s) for s in ({}, {"measured": ("cosines",)}))
    )
    plain.run()
    asked.run()
    for p, q in zip(plain.network.parameters(), asked.network.parameters(), strict=True):
        assert torch.equal(p, q)
    assert "measured" not in plain.spec.model_dump_json()
    assert [
        row.keys() ^ other.keys()
        for row, other in zip(plain.progress.rows, asked.progress.rows, strict=True)
    ] == [{"cosine_color", "cosine_gray"}] * 3
    assert all(-1 <= row["cosine_gray"] <= 1 for row in asked.progress.rows)


def test_cosines_move_no_mean_gate_where_every_pass_moves_them(splits):
    spec = small_spec(VANILLA, switches={"mean_gate_updates": "every_pass"})
    parts = splits(spec)
    network = Training(spec, parts).network
    before = {name: x.clone() for name, x in network.state_dict().items()}
    mean_cosines(network, parts["train"], 20)
    assert all(torch.equal(x, before[name]) for name, x in network.state_dict().items())


def test_the_cosine_is_between_the_two_losses_own_gradients_at_the_end_of_the_epoch(splits):
    spec = small_spec(
        VANILLA, switches={"measured": ("cosines",)}, training={"max_epochs": 1, "batch_size": 20}
    )
    training = Training(spec, splits(spec))
    training.run()
    network = training.network.eval()
    found = {f"cosine_{m}": [] for m in network.modalities}
    for index in (torch.arange(20), torch.arange(20, 36)):
        batch = training.splits["train"].batch(index)
        for m in network.modalities:
            gradients = []
            for logits in (
                {"": torch.stack(list(network(batch.inputs).values())).mean(0)},
                {m: network(batch.inputs)[m]},
            ):
                network.zero_grad()
                modality_losses(logits, batch.labels).sum().backward()
                gradients.append(
                    torch.cat([p.grad.flatten() for p in network.encoder_parameters(m)])
                )
            a, b = gradients
            found[f"cosine_{m}"].append(float(a @ b / a.norm() / b.norm()))
    row = training.progress.rows[0]
    assert {k: row[k] for k in found} == pytest.approx(
        {k: sum(of) / 2 for k, of in found.items()}, rel=1e-4
    )


def test_a_linear_probe_reads_what_the_features_tell(splits):
    spec = small_spec(VANILLA)
    parts = splits(spec)
    network = Training(spec, parts).network
    probes = linear_probes(network, parts["train"], parts["train"], spec.classes)
    for z in probes.values():  # eight features of 36 random examples
        assert (z.argmax(1) == parts["train"].labels).float().mean() > 0.3
    assert linear_probes(network, parts["train"], parts["test"], spec.classes)["gray"].shape == (
        20,
        10,
    )


def test_the_bank_tells_what_each_modality_adds(tmp_path):
    """Three labels are 0 and one is 1; m0 alone is always right, m1 alone says 0."""
    labels = np.array([0, 0, 0, 1])
    right, zero = np.eye(2)[labels], np.tile([1.0, 0.0], (4, 1))
    bank = {"regular/a": 4 * right, "regular/b": zero, "isolated/a": right, "isolated/b": zero}
    save_arrays(tmp_path / "bank.npz", {"labels": labels} | bank)
    found = measures(tmp_path / "bank.npz", {"a": "m0", "b": "m1"})
    found.pop("calibration_error")
    assert found == pytest.approx({
        "accuracy_alone_m0": 1.0, "accuracy_alone_m1": 0.75, "accuracy_none": 0.75,
        "shapley_m0": 0.25, "shapley_m1": 0.0,
    })  # fmt: skip
    save_arrays(tmp_path / "bank.npz", {"labels": labels, "regular/a": right})
    assert measures(tmp_path / "bank.npz", {"a": "m0"}).keys() == {"calibration_error"}
    save_arrays(tmp_path / "bank.npz", {"labels": labels})
    assert measures(tmp_path / "bank.npz", {"a": "m0"}) == {}
