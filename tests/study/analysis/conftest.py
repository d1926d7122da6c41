from importlib import import_module

from equimodal.study.params import Analysis

SETTINGS = Analysis(
    confidence=0.95,
    resamples=200,
    seed=0,
    margin=1.0,
    power=0.8,
    fewest_resampled=10,
    greedy_above=0.1,
)


def build(name, **inputs):
    """A table of the analysis, made of others."""
    return import_module(f"equimodal.study.analysis.{name}").build(**inputs, settings=SETTINGS)
