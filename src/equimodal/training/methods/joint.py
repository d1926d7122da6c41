"""One loss of the whole network's answer: what the papers call joint training."""

from equimodal.training.methods import Method


class Joint(Method):
    """L = CE(y, z). Source: README of MMPareto (ICML 2024), "one joint loss"."""


METHOD = Joint
