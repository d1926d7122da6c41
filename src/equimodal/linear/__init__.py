"""Unimodal bias in deep linear networks (Zhang, Latham and Saxe, ICML 2024), solved and simulated.

`moments` describes the data, `networks` the architectures and their gradients, `descent` trains
many of them at once, `half_lines` and `xor` are the ReLU variants, `times` reads off when each
modality is learned, and `theory` says what all of it should be. NumPy only; but `noisy_mnist`, which trains
nonlinear networks on digits, loads torch.

Two modalities, A and B, a scalar target y. Time is in units of tau = 1 / step size. The paper's body
was not at hand: equations are named after their results, R1 to R6, not after its numbers.
"""
