"""Unimodal bias in deep linear networks (Zhang, Latham and Saxe, ICML 2024), solved and simulated.

Two modalities, A and B, a scalar target y. Time is in units of tau = 1 / step size. The paper's body was
not at hand: equations are named after their results, R1 to R6, not after its numbers. No torch, but for
`noisy_mnist`, which trains nonlinear networks on digits. docs/linear.md says what each module does.
"""
