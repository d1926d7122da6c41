"""Uni-modal networks, each trained alone, whose logits are averaged."""

from equimodal.training.methods import Method


class Ensemble(Method):
    """z = mean_u z_u, of networks that have never seen one another. Source: Du et al. (ICML 2023).

    Nothing is trained: the network takes the weights of the uni-modal runs of equal settings and seed.
    """

    trains = False


METHOD = Ensemble
