"""Uni-modal branches and the networks that join them."""
