"""Options of the command line that most verbs take."""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from equimodal.study.params import load_params

DEFAULT_PARAMS = Path("params.yaml")
ParamsFile = Annotated[
    Path,
    typer.Option(
        envvar="EQUIMODAL_PARAMS",
        help="The file of settings; config/ with the scales lies beside it.",
    ),
]
Scale = Annotated[
    str | None,
    typer.Option(
        help="tiny, demo, paper or another file of config/scales; if left out, that of params.yaml."
    ),
]
Wait = Annotated[
    bool,
    typer.Option(
        "--wait",
        envvar="EQUIMODAL_WAIT",
        help="Wait for a process that does the same work already.",
    ),
]


def with_settings(verb: Callable[..., None]) -> Callable[..., None]:
    """Have a verb that takes settings take the options that name them. It may ask for `params` as well."""
    if "settings" not in signature(verb).parameters:
        return verb
    own = [p for p in signature(verb, eval_str=True).parameters.values() if p.name != "settings"]
    options = {"params": (ParamsFile, DEFAULT_PARAMS), "scale": (Scale, None)}
    asks = {p.name for p in own} & {"params"}

    @wraps(verb)
    def called(*, params: Path, scale: str | None, **given: Any) -> None:
        given |= {"params": params} if asks else {}
        verb(settings=load_params(params, scale), **given)

    shared = [
        Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for name, (annotation, default) in options.items()
    ]
    others = [p.replace(kind=Parameter.KEYWORD_ONLY) for p in own if p.name not in asks]
    every = signature(verb).replace(parameters=[*shared, *others])
    called.__signature__ = every  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in every.parameters.values()}
    return called
