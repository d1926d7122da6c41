"""Fusion modules of a network of one's own."""

import pytest
from torch import nn

from equimodal.fusion.base import fusion_parameters, held_parameters
from equimodal.fusion.mmtm import MMTM

PAIR = MMTM({"audio": 4, "table": 4})
THREE = MMTM({"image": 4, "audio": 4, "table": 4})


def ids(parameters):
    return {id(p) for p in parameters}


def test_a_branch_is_served_by_the_fusion_modules_that_join_it():
    model = nn.ModuleList([PAIR, THREE])
    both = [*PAIR.shared_parameters(), *PAIR.own_parameters("audio")]
    third = [*THREE.shared_parameters(), *THREE.own_parameters("audio")]
    assert ids(fusion_parameters(model, "audio")) == ids([*both, *third])
    image = [*THREE.shared_parameters(), *THREE.own_parameters("image")]
    assert ids(fusion_parameters(model, "image")) == ids(image)


def test_fusion_modules_that_join_different_modalities_are_not_rebalanced():
    """Mode 1 would be the audio branch to the one and the table branch to the other."""
    message = r"has to join all modalities in one order.*\['audio', 'table'\], \['image', 'audio'"
    with pytest.raises(ValueError, match=message):
        held_parameters(nn.ModuleList([PAIR, THREE]), "audio")


def test_a_network_without_fusion_modules_holds_nothing():
    """It is trained in regular steps, as a baseline of one branch or of several."""
    assert held_parameters(nn.Linear(2, 2), "audio") == []


@pytest.mark.parametrize("parameters_of", [fusion_parameters, held_parameters])
def test_a_modality_that_nothing_joins_is_refused(parameters_of):
    with pytest.raises(
        ValueError, match="no fusion module of the model joins the modality 'smell'"
    ):
        parameters_of(nn.ModuleList([THREE]), "smell")
