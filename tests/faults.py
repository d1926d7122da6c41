"""Seeded faults at every place that is read: `make test-faults`, or `python -m tests.faults --help`.

A tiny study is made once. Then, for each fault, something is damaged, killed, started twice or asked for by a wrong
name, and the verb that meets it is run. Three things must not happen: a result is lost that the fault did not touch,
a wrong result comes out without a word, a traceback. Status 1 if any did.
"""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from equimodal.study.errors import STOPPED

ROOT = Path(__file__).parents[1]
RUN = "colored_mnist/distinct/guided/paper/lr0.01/seed0"
OTHER = "colored_mnist/distinct/vanilla/paper/lr0.01/seed0"
PREPARED, RESULTS = "data/prepared/tiny", "results/tiny"
TABLES = f"{RESULTS}/tables"
LIMIT = 120  # seconds; a verb that takes longer hangs

# Where a verb reads: pattern of files -> verbs that meet them.
READ = {
    "data/raw/*/*.gz": ["prepare colored_mnist"],
    f"{PREPARED}/colored_mnist/*.npy": [f"train {RUN} --again", "noisy-mnist 1"],
    f"{PREPARED}/colored_mnist/receipt.json": [f"train {RUN} --again", f"evaluate {RUN}"],
    f"{RESULTS}/models/{RUN}.pt": [f"evaluate {RUN}"],
    f"{RESULTS}/runs/{RUN}/*": ["collect", f"evaluate {RUN}"],
    f"{RESULTS}/banks/{RUN}.*": ["collect"],
    f"{RESULTS}/noisy_mnist/*": ["linear-mnist"],
    f"{TABLES}/runs.csv": ["table table1", "draw figure7", "summarize", "show", "collect --keep"],
    f"{TABLES}/evaluations.csv": ["table table1", "table switching_off", "collect --keep"],
    f"{TABLES}/histories.csv.gz": ["draw learning_curves", "table by_cap"],
    f"{TABLES}/steps.csv.gz": ["draw steps"],
    f"{TABLES}/specs.jsonl": ["collect --keep"],
    f"{TABLES}/table1.csv": ["claims", "summarize"],
    f"{TABLES}/claims.csv": ["show", "report"],
    f"{TABLES}/linear_*.csv": ["draw linear_phase", "draw linear_depth", "draw linear_mnist"],
    f"{TABLES}/*.json": ["show", "table greediness", "claims", "draw figure7", "verify"],
    f"{RESULTS}/figures/*.svg": ["report"],
    "config/linear/*.yaml": ["verify", "draw linear_phase"],
    "params.yaml": ["runs"],
    "config/scales/tiny.yaml": ["runs"],
}
NAMES = ["../x", "$(touch x)", "a b", "", "é", "-x", "con/../..", "x" * 300, "null", "%s", "{x}", "\n"]  # fmt: skip
SETTINGS = ["null", "-1", "[]", "{}", "text", "1e400", ".nan", "1000000000", "*x", "!!python/none", "[", "'"]  # fmt: skip

SETTINGS_OF = {  # a verb that reads them
    "params.yaml": "runs",
    "config/scales/tiny.yaml": "runs",
    "config/linear/base.yaml": "draw linear_phase",
    "config/linear/tiny.yaml": "draw linear_phase",
}


@dataclass(frozen=True)
class Outcome:
    """How a verb ended."""

    status: int
    said: str

    @property
    def is_traceback(self) -> bool:
        return "Traceback" in self.said or self.status not in (0, 1, 2, STOPPED)


def started(folder: Path, call: str, scale: str = "tiny") -> tuple[int, Path]:
    """Start a verb in a fork of this process, which has all packages loaded; its process and what it says."""
    said = Path(tempfile.mkstemp()[1])
    if process := os.fork():
        return process, said
    with said.open("w") as out:
        os.chdir(folder)
        for number in (1, 2):
            os.dup2(out.fileno(), number)
        sys.argv = ["equimodal", *call.split(" "), "--scale", scale]
        status = 70
        try:
            from equimodal.study.cli import main

            main()
            status = 0
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:  # noqa: BLE001 - what the verb let through is what is looked for
            import traceback

            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            os._exit(status)


def ended(process: int, said: Path) -> Outcome:
    """Wait for a verb; one that hangs is killed."""
    late = time.monotonic() + LIMIT
    while (done := os.waitpid(process, os.WNOHANG)) == (0, 0):
        if time.monotonic() > late:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.005)
    text = said.read_text(errors="replace")
    said.unlink()
    return Outcome(os.waitstatus_to_exitcode(done[1]), text)


def run(folder: Path, call: str, scale: str = "tiny") -> Outcome:
    return ended(*started(folder, call, scale))


def contents(folder: Path) -> dict[str, bytes]:
    """All results of a folder but notes of this machine, of costs and of the code's commit."""
    return {
        path.relative_to(folder).as_posix(): re.sub(rb'"commit": [^\n]*', b"", path.read_bytes())
        for part in ("data", "results")
        for path in sorted((folder / part).rglob("*"))
        if path.is_file()
        and path.suffix not in (".seen", ".lease", ".log", ".tsv")
        and not {"valid", "scratch"} & set(path.parts)
    }


def damage(path: Path, chance: random.Random, others: list[Path]) -> str:
    """Damage a file, and say how."""
    content = path.read_bytes()
    start = chance.randrange(max(1, len(content)))
    kind = chance.choice(
        ["cut", "empty", "zeros", "flipped", "noise", "folder", "loop", "removed", "exchanged"]
    )
    path.unlink()  # it may be a link to the one of the study that others copy
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind != "removed":
        middle = bytearray(content)
        if kind == "cut":
            middle = middle[:start]
        elif kind == "empty":
            middle = bytearray()
        elif kind == "zeros":
            middle[start : start + 200] = bytes(len(middle[start : start + 200]))
        elif kind == "flipped" and middle:
            middle[start] ^= 1 << chance.randrange(8)
        elif kind == "noise":
            middle[start : start + 20] = chance.randbytes(20)
        elif kind == "exchanged" and others:
            middle = bytearray(chance.choice(others).read_bytes())
        path.write_bytes(bytes(middle))
    return kind


@dataclass
class Study:
    """A study that was made, and a copy of it that is hurt."""

    made: Path
    hurt: Path
    whole: dict[str, bytes]

    def renew(self) -> None:
        """Make the copy whole again; files are links until they are damaged."""
        shutil.rmtree(self.hurt, ignore_errors=True)
        ignored = shutil.ignore_patterns(".snakemake", "*.tmp")
        shutil.copytree(self.made, self.hurt, ignore=ignored, copy_function=os.link, symlinks=True)

    def faults_of(self, outcome: Outcome, touched: str | None) -> Iterator[str]:
        """What must not have happened, and did."""
        if outcome.is_traceback:
            yield "traceback"
        now = contents(self.hurt)
        lost = self.whole.keys() - now.keys() - {touched}
        changed = {n for n in now if now[n] != self.whole.get(n, now[n])} - {touched}
        if lost:
            yield f"lost {sorted(lost)[:3]}"
        if changed and outcome.status == 0:
            yield f"silently wrong {sorted(changed)[:3]}"


def damaged(study: Study, chance: random.Random) -> tuple[str, Outcome, str | None]:
    pattern = chance.choice(list(READ))
    there = sorted(p for p in study.hurt.glob(pattern) if p.is_file())
    path = chance.choice([p for p in there if p.suffix != ".seen"])
    others = [
        p for p in path.parent.iterdir() if p.is_file() and p.suffix == path.suffix and p != path
    ]
    name = path.relative_to(study.hurt).as_posix()
    kind = damage(path, chance, others)
    call = chance.choice(READ[pattern])
    return f"{name} {kind}: {call}", run(study.hurt, call), name


def killed(study: Study, chance: random.Random) -> tuple[str, Outcome, str | None]:
    call = chance.choice(
        [f"train {RUN} --again", "collect", "table table1", "prepare colored_mnist"]
    )
    process, said = started(study.hurt, call)
    time.sleep(chance.uniform(0.05, 1.5))
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, chance.choice([signal.SIGKILL, signal.SIGTERM]))
    ended(process, said)
    return f"killed: {call}", run(study.hurt, call), None


def twice(study: Study, chance: random.Random) -> tuple[str, Outcome, str | None]:
    call = chance.choice(
        [f"train {RUN} --again", f"evaluate {RUN}", "prepare colored_mnist", "collect"]
    )
    first = started(study.hurt, call)
    second = started(study.hurt, call)
    outcomes = [ended(*first), ended(*second)]
    worst = max(outcomes, key=lambda outcome: (outcome.is_traceback, outcome.status == 0))
    return f"twice: {call}", worst, None


def named(study: Study, chance: random.Random) -> tuple[str, Outcome, str | None]:
    name = chance.choice(NAMES).replace(" ", "_")
    call, scale = chance.choice(
        [("runs", name), ("prune", name), (f"train {name}", "tiny"), (f"table {name}", "tiny"),
         (f"draw {name}", "tiny"), (f"prepare {name}", "tiny"), (f"fetch {name}", "tiny")]
    )  # fmt: skip
    outcome = run(study.hurt, call, scale)
    said = f"name {name!r}: {call} --scale {scale!r}"
    return said, Outcome(70, "believed") if outcome.status == 0 else outcome, None


def misset(study: Study, chance: random.Random) -> tuple[str, Outcome, str | None]:
    file, call = chance.choice(list(SETTINGS_OF.items()))
    path = study.hurt / file
    lines = path.read_text().splitlines()
    at = chance.choice([i for i, line in enumerate(lines) if ": " in line.split("#")[0]])
    key = lines[at].split(":")[0]
    value = chance.choice(SETTINGS)
    lines[at] = f"{key}: {value}" if chance.random() < 0.8 else f"{key}x: {value}"
    path.unlink()
    path.write_text("\n".join(lines))
    return f"{file}: {lines[at].strip()}", run(study.hurt, call), None


KINDS: dict[Callable[[Study, random.Random], tuple[str, Outcome, str | None]], int] = {
    damaged: 60, killed: 8, twice: 6, named: 11, misset: 15,
}  # fmt: skip


def altered(study: Study, chance: random.Random) -> str | None:
    """Alter a file that `verify` answers for, size and time unchanged; say which if it was not found."""
    patterns = (f"{PREPARED}/*/*.npy", f"{RESULTS}/runs/**/*.*", f"{RESULTS}/models/**/*.pt",
                f"{RESULTS}/banks/**/*.*", f"{TABLES}/*.[cmt]*", f"{RESULTS}/noisy_mnist/*.*",
                f"{RESULTS}/figures/*.[sp]*", f"{RESULTS}/curves/*.csv", f"{RESULTS}/metrics.json")  # fmt: skip
    names = sorted(
        p for p in study.hurt.glob(chance.choice(patterns)) if p.is_file() and p.suffix != ".seen"
    )
    path = chance.choice(names)
    before, content = path.stat(), bytearray(path.read_bytes())
    vouched = json.loads(content).get("files", ()) if path.suffix == ".json" else ()
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.unlink()
    path.write_bytes(bytes(content))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    outcome = run(study.hurt, "verify --deep")
    # An altered receipt and an altered file that it vouches for can not be told apart.
    named = any(Path(name).stem.split(".")[0] in outcome.said for name in (path, *vouched))
    found = outcome.status == 1 and named
    return None if found and not outcome.is_traceback else f"{path}: {outcome.said[-300:]}"


def copy_settings(folder: Path) -> None:
    """Copy the settings to a folder, if they are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config", "params.yaml"):
        if not (folder / name).exists():
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)


def made_study(folder: Path) -> Path:
    """Make the tiny study in a folder, if it is not there."""
    copy_settings(folder)
    subprocess.run(
        ["snakemake", "--cores", "2", "--quiet", "all", "--snakefile", ROOT / "Snakefile",
         "--directory", folder, "--config", "scale=tiny"], check=True,
    )  # fmt: skip
    return folder


def main(
    count: Annotated[int, typer.Option(help="How many faults.")] = 500,
    alterations: Annotated[int, typer.Option(help="How many that `verify` has to find.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the choice.")] = 0,
    made: Annotated[Path | None, typer.Option(help="Where the study is made, or lies.")] = None,
) -> None:
    """Try faults, and say which were not met as they should be."""
    import matplotlib.pyplot  # noqa: F401
    import pandas  # noqa: F401
    import torch

    torch.set_num_threads(1)
    aside = Path(tempfile.mkdtemp())
    study = Study(made_study((made or aside / "made").absolute()), aside / "hurt", {})
    study.renew()
    study.whole = contents(study.hurt)
    chance, wrong, tried = random.Random(seed), [], Counter[str]()
    for number in range(count):
        (kind,) = chance.choices(list(KINDS), list(KINDS.values()))
        study.renew()
        said, outcome, touched = kind(study, chance)
        tried[kind.__name__] += 1
        for fault in study.faults_of(outcome, touched):
            wrong.append(f"{number} {fault}: {said}\n    {outcome.said.strip()[-400:]}")
            print(wrong[-1], flush=True)
    unfound = []
    for _ in range(alterations):
        study.renew()
        if missed := altered(study, chance):
            unfound.append(missed)
            print("not found by verify:", missed, flush=True)
    shutil.rmtree(aside)
    print(f"{count} faults ({dict(tried)}): {len(wrong)} not met as they should be")
    print(f"{alterations} alterations: {len(unfound)} not found by verify")
    sys.exit(bool(wrong or unfound))


if __name__ == "__main__":
    typer.run(main)
