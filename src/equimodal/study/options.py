"""Options of the command line that most verbs take."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_PARAMS = Path("params.yaml")
ParamsFile = Annotated[
    Path,
    typer.Option(
        envvar="EQUIMODAL_PARAMS", help="The settings; the scales lie beside it in config/."
    ),
]
Scale = Annotated[
    str | None,
    typer.Option(
        help="tiny, demo, paper or another file of config/scales; params.yaml says which if left out."
    ),
]
