"""The command line: its verbs, and how it fails."""

import os
import signal
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from equimodal import __version__
from equimodal.linear import cli as linear_cli
from equimodal.linear import figures as linear
from equimodal.study.analysis import TABLES
from equimodal.study.errors import STOPPED, UserError, in_a_sentence
from equimodal.study.figures import FIGURES
from equimodal.study.options import with_settings
from equimodal.study.verbs import data, networks, products, reports

app = typer.Typer(
    help="Measure and reduce the greed of multi-modal networks.",
    epilog=(
        "Experiments are those of config/scales (table1, sweep, ...); `runs` lists their networks."
        f" Tables: {', '.join(TABLES)}. Figures: {', '.join((*FIGURES, *linear.FIGURES))}."
        " A scale has the tables and figures whose runs it asks for."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
PANELS = {
    "Data": data.VERBS,
    "Networks": networks.VERBS,
    "Tables and figures": products.VERBS,
    "Reports and checks": reports.VERBS,
    "The second paper": linear_cli.VERBS,
}
for panel, verbs in PANELS.items():
    for verb in verbs:
        app.command(rich_help_panel=panel)(with_settings(verb))


def _print_version(asked: bool) -> None:
    if asked:
        print(f"equimodal {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    directory: Annotated[
        Path | None,
        typer.Option(help="The folder of data/ and results/; the working folder if left out."),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    if directory is not None:
        if not directory.is_dir():
            raise UserError(f"--directory: there is no folder {directory}; make it first")
        os.chdir(directory)


def main() -> None:
    """Run the verb that the command line names; what a user or the machine did wrong is one message, status 2.

    One that SIGTERM stops has status 75: it goes on when it is called again.
    On one thread, as the workflow does: networks as small as these train several times slower with more
    beside one another, and to other last digits. Who sets OMP_NUM_THREADS has that many.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before a verb imports what reads it
    signal.signal(signal.SIGTERM, _stopped)  # a training under way saves first, see `in_turn`
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Whatever the locale, and whatever bytes a file's name has.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        app(prog_name="equimodal")
    except Exception as error:
        if (sentence := in_a_sentence(error)) is None:
            raise
        sys.exit(_said(sentence))


def _stopped(*_: object) -> None:
    _said("stopped by SIGTERM, as clusters send it at a time limit; the same command goes on")
    sys.exit(STOPPED)


def _said(sentence: str) -> int:
    print(f"equimodal: {sentence}", file=sys.stderr)
    return 2
