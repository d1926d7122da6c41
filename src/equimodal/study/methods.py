"""The balancing methods that a run may name: what each is asked for. Their rules are in `training/methods`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import create_model

from equimodal.study.schema import Count, NotNegative, Positive, Section


@dataclass(frozen=True)
class Method:
    """What a method needs: its hyper-parameters in params.yaml, name -> type.

    `members`: what it reads of runs of each modality alone, their weights, or the losses of their epochs and of those of
    joint training. `validates`: whether it looks at a validation split beside the test set. `modalities`: how many it is
    defined for; any if None. `pace`: how many times as long as a policy of the paper it trains, ends of epochs included;
    the larger of what was measured on digits and on views.
    """

    settings: dict[str, Any]
    pace: float = 1.0
    members: Literal["weights", "histories"] | None = None
    validates: bool = False
    modalities: int | None = None


FOLDER = Path(__file__).parents[1] / "training" / "methods"  # of their rules, <name>.py

METHODS = {
    "joint": Method({}),
    "uniform": Method({}),
    "ensemble": Method({}, pace=0.0, members="weights"),
    "ogm_ge": Method(
        {
            "alpha": Positive,
            "last_epoch": Count,
            "scaled": Literal["branch", "convolutions"],
            "noise": bool,
        },
        pace=1.5,
        modalities=2,
    ),
    "agm": Method({"alpha": Positive}, pace=3.0),
    "pmr": Method({"alpha": Positive, "entropy": NotNegative, "last_epoch": Count}, pace=1.3),
    "mmpareto": Method({"gamma": Positive}, pace=2.0),
    "g_blend": Method({}, pace=1.1, members="histories", validates=True),
    "relearning": Method(
        {"strength": Positive, "every": Count, "times": Count}, pace=1.3, validates=True
    ),
    "dgl": Method({}, pace=1.1),
}


def _section(name: str, fields: dict[str, Any]) -> type[Section]:
    return create_model(name, __base__=Section, **fields)


# A section of settings for each method, and one that holds those of a data set.
SETTINGS = {
    name: _section(name, {key: (type_, ...) for key, type_ in method.settings.items()})
    for name, method in METHODS.items()
}
globals().update(SETTINGS)  # where pickle looks for them: settings are sent to other processes
OfDataset = _section("OfDataset", {name: (of | None, None) for name, of in SETTINGS.items()})


def parameters_of(policy: str, usual: Section | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The hyper-parameters of a method, `changes` in place of a data set's usual ones; ValidationError if they do not fit."""
    own = getattr(usual, policy, None)
    known = {} if own is None else own.model_dump()
    return SETTINGS[policy].model_validate(known | dict(changes), strict=True).model_dump()
