"""One module a figure, each with `draw(...) -> Figure`. Never loads torch.

`FIGURES` names each figure's module and the inputs that its `draw` takes: tables by name, or
`examples`, a few images of the prepared data.
"""

FIGURES = {
    "figure6": ("examples",),
    "figure7": ("runs",),
    "learning_curves": ("runs", "histories"),
}
