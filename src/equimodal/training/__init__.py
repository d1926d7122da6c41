"""The training step, the choice of the next one, and the loop around both."""
