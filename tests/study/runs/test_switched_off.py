"""Ways of switching the other modalities off, against what they mean."""

import torch

from equimodal.fusion.base import Flow
from equimodal.study.runs.build import build_network
from equimodal.study.runs.score import predict
from equimodal.study.runs.switched_off import (
    predict_permuted,
    predict_with_class_means,
    record_mean_squeezes,
)
from tests.training.conftest import VANILLA, small_spec


def with_own_running_means(spec):
    """A network whose batch norm and fusion have seen something."""
    torch.manual_seed(0)
    network = build_network(spec)
    for p in network.parameters():
        p.data += 0.2 * torch.randn_like(p)
    return network


def made(splits):
    spec = small_spec(VANILLA)
    data = splits(spec)
    return with_own_running_means(spec), data["train"], data["test"]


def test_a_permuted_branch_sees_its_own_input_and_another_example_of_the_others(splits):
    network, _, test = made(splits)
    permuted = predict_permuted(network, test, seed=0)
    batch = test.batch(torch.arange(len(test))).inputs
    regular = predict(network, test)
    others = set()
    for i in range(len(test)):
        one = {"color": batch["color"][i : i + 1].expand_as(batch["color"]), "gray": batch["gray"]}
        with torch.no_grad():
            by_hand = network(one)["color"]
        gaps = (by_hand - permuted["color"][i]).abs().amax(1)
        assert gaps.min() < 1e-4
        others.add(int(gaps.argmin()))
    assert others == set(range(len(test)))  # a permutation
    assert not torch.allclose(permuted["gray"], regular["gray"])
    assert not torch.equal(predict_permuted(network, test, seed=1)["gray"], permuted["gray"])


def test_class_means_are_isolated_passes_with_the_means_of_the_true_class(splits):
    network, train, test = made(splits)
    answers = predict_with_class_means(network, train, test)
    for label in test.labels.unique().tolist():
        shown, index = ((split.labels == label).nonzero()[:, 0] for split in (train, test))
        record_mean_squeezes(network, train, index=shown if len(shown) else None)
        expected = predict(network, test, Flow(isolated=True), index=index)
        for m in network.modalities:
            torch.testing.assert_close(answers[m][index], expected[m])
