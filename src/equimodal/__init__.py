"""Greedy learning in multi-modal networks: measure it, watch it, mend it, reproduce the study."""

__version__ = "0.1.0"
