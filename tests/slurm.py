"""The tiny study through a real Slurm of one node: `make test-slurm`, or `python -m tests.slurm --help`.

A Slurm is started on this machine (root, Debian's slurm-wlm and munge; slurmdbd and mariadb-server for accounting), and
the workflow runs through it with profiles/slurm. Meanwhile jobs are canceled, stopped at a time limit and killed, the
node is drained, the coordinator is killed and started again. All results have to be those of a local run, byte for
byte. What was started is stopped. Status 1 if anything differs.

With `--faults 60` the study is hurt by so many seeded faults instead, and made again until they are through.
"""

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from tests.faults import ROOT, contents, copy_settings, made_study

CONF, DBD = Path("/etc/slurm/slurm.conf"), Path("/etc/slurm/slurmdbd.conf")
NEEDED = ["slurmctld", "slurmd", "munged"]
FOR_ACCOUNTING = ["slurmdbd", "mariadbd"]
HOST = socket.gethostname().partition(".")[0]
CPUS = os.cpu_count() or 1
# That the node says it has: jobs wait more than they compute, and one stands still.
SLOTS = 2 * CPUS
PATIENCE = 3600  # seconds, for all of the workflow: machines may be busy
RESULTS = Path("results/tiny")

T = TypeVar("T")


def call(*words: str | Path, check: bool = True) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


def until(
    what: str,
    holds: Callable[[], T],
    seconds: float = 120,
    last_words: Callable[[], str | None] = lambda: None,
) -> T:
    """Wait until something holds, and return it; no longer than there are no last words."""
    late = time.monotonic() + seconds
    while not (found := holds()):
        if (said := last_words()) is not None:
            raise RuntimeError(f"it ended before {what}:\n{said}")
        if time.monotonic() > late:
            raise TimeoutError(f"waited {seconds:.0f} s in vain until {what}")
        time.sleep(0.2)
    return found


def works(*words: str) -> Callable[[], bool]:
    return lambda: subprocess.run(words, check=False, capture_output=True).returncode == 0


@contextmanager
def daemon(log: Path, *words: str | Path) -> Iterator[None]:
    with log.open("a") as said:
        process = subprocess.Popen(words, stdout=said, stderr=said, start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def file(path: Path, text: str) -> Iterator[None]:
    """A file for the time of the block: a slurm.conf that stays makes every start of Snakemake slow."""
    if path.exists():
        raise RuntimeError(
            f"{path} is there: this machine has a Slurm of its own, which is left alone"
        )
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    try:
        yield
    finally:
        path.unlink()


def configuration(folder: Path, *, accounting: bool) -> str:
    """A node with twice the processors that this machine has."""
    store = "AccountingStorageType=accounting_storage/none\nJobAcctGatherType=jobacct_gather/none"
    if accounting:
        store = (
            "AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost=localhost\n"
        )
        store += "AccountingStoragePort=16819\nJobAcctGatherType=jobacct_gather/linux"
    return f"""ClusterName=tested
SlurmctldHost={HOST}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
KillWait=10
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
MinJobAge=86400
{store}
NodeName={HOST} NodeAddr=127.0.0.1 CPUs={SLOTS} RealMemory=60000 State=UNKNOWN
PartitionName=debug Nodes={HOST} Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def slurm(folder: Path, *, accounting: bool) -> Iterator[None]:
    """A Slurm of this machine as its one node, for the time of the block."""
    wanted = NEEDED + FOR_ACCOUNTING * accounting
    if missing := [name for name in wanted if shutil.which(name) is None]:
        raise RuntimeError(
            f"{missing} are not installed; on Debian: apt install slurm-wlm munge slurmdbd mariadb-server"
        )
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    log = folder / "slurm.log"
    with ExitStack() as started:
        if not works("munge", "-n")():
            call("install", "-d", "-o", "munge", "-g", "munge", "-m", "0755", "/run/munge")
            started.enter_context(
                daemon(log, "runuser", "-u", "munge", "--", "munged", "--foreground")
            )
            until("munged answers", works("munge", "-n"))
        started.enter_context(file(CONF, configuration(folder, accounting=accounting)))
        if accounting:
            started.enter_context(database(folder, log))
        started.enter_context(daemon(log, "slurmctld", "-D"))
        until("slurmctld answers", works("scontrol", "ping"))
        started.enter_context(daemon(log, "slurmd", "-D", "-N", HOST))
        until("the node is idle", lambda: "idle" in call("sinfo", "-h", "-o", "%T", check=False))
        try:
            yield
        finally:
            end_jobs()


@contextmanager
def database(folder: Path, log: Path) -> Iterator[None]:
    """Slurm's accounting, with an account `lab`."""
    call("install", "-d", "-o", "mysql", "-g", "mysql", "/run/mysqld", folder / "db")
    folder.chmod(0o755)
    scratch = f"--tmpdir={folder}/db"  # it may not write to ours
    call("mariadb-install-db", "--user=mysql", f"--datadir={folder}/db", scratch)
    at = f"--socket={folder}/db/socket"
    with ExitStack() as started:
        started.enter_context(
            daemon(
                log,
                "mariadbd",
                "--user=mysql",
                f"--datadir={folder}/db",
                scratch,
                at,
                "--port=13306",
                "--bind-address=127.0.0.1",
            )
        )
        until("the database answers", works("mariadb", at, "-e", "select 1"))
        users = "".join(
            f"create user slurm@'{host}' identified by 'slurm'; grant all on slurm_acct_db.* to slurm@'{host}';"
            for host in ("127.0.0.1", "localhost")
        )
        call("mariadb", at, "-e", f"create database slurm_acct_db; {users}")
        keys = {"AuthType": "auth/munge", "DbdHost": "localhost", "DbdPort": "16819", "SlurmUser": "root",
                "StorageType": "accounting_storage/mysql", "StorageHost": "127.0.0.1", "StoragePort": "13306",
                "StorageUser": "slurm", "StoragePass": "slurm", "StorageLoc": "slurm_acct_db",
                "PidFile": f"{folder}/slurmdbd.pid"}  # fmt: skip
        started.enter_context(file(DBD, "".join(f"{k}={v}\n" for k, v in keys.items())))
        started.enter_context(daemon(log, "slurmdbd", "-D"))
        until("slurmdbd answers", works("sacctmgr", "-n", "show", "cluster"))
        for words in (
            ("cluster", "tested"),
            ("account", "lab", "Description=lab", "Organization=lab"),
            ("user", "root", "Account=lab"),
        ):
            call("sacctmgr", "-i", "add", *words, check=False)
        yield


def jobs() -> dict[str, str]:
    """Jobs that have not ended, number -> the rule."""
    lines = call("squeue", "-h", "-o", "%i %k", check=False).splitlines()
    return {number: rule.strip() for number, _, rule in (line.partition(" ") for line in lines)}


def cells() -> list[str]:
    return [number for number, rule in jobs().items() if "cell" in rule]


def of_folder(folder: Path) -> set[int]:
    """Jobs of Slurm that were submitted in a folder, and verbs of a study there, by their environment."""
    there = [os.fsencode(f"{name}={folder}") for name in ("SLURM_SUBMIT_DIR", "EQUIMODAL_PARAMS")]
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if any(name in path.read_bytes() for name in there):
                found.add(int(path.parent.name))
    return found


def end_processes(folder: Path) -> None:
    """Kill what works for a folder still: of a job whose daemon was killed, Slurm knows no more."""
    for process in of_folder(folder):
        _killed(process)
    until(f"nothing works for {folder}", lambda: not of_folder(folder))


def end_jobs() -> None:
    call("scancel", "--user", "root", check=False)
    until("all jobs have ended", lambda: not jobs())


def job_of(process: int) -> str:
    """The number of the job that a process belongs to."""
    known = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    (number,) = (line[13:].decode() for line in known if line.startswith(b"SLURM_JOB_ID="))
    return number


def workers(folder: Path) -> list[int]:
    """Processes of verbs that train there, as their locks say."""
    found = []
    for holder in (folder / RESULTS / "scratch").rglob("*.holder"):
        with contextlib.suppress(OSError):
            found += [int(n) for n in re.findall(r"process (\d+)", holder.read_text())]
    return [process for process in found if Path(f"/proc/{process}").exists()]


class Coordinator:
    """Snakemake on the submitting side, which may be killed and started again."""

    def __init__(self, folder: Path, *options: str, accounting: bool):
        self.folder = folder
        self.log = folder / "coordinator.log"
        self.words: list[str | Path] = [
            *("snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder),
            *("--profile", ROOT / "profiles/slurm", "--config", "scale=tiny", "cell_minutes=1"),
            *("--latency-wait", "15", "--slurm-init-seconds-before-status-checks", "4"),
            *("--set-threads", "prepare=1"),
            *options,
        ]
        if not accounting:
            self.words += ["--slurm-no-account", "--slurm-status-command", "squeue"]
        self.start()

    def start(self) -> None:
        self.begun = len(self.said()) if self.log.exists() else 0
        with self.log.open("a") as said:
            self.process = subprocess.Popen(
                self.words, stdout=said, stderr=said, start_new_session=True
            )

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def kill_and_start_again(self) -> None:
        self.kill()
        call(*self.words, "--unlock")
        self.start()

    def until(self, what: str, holds: Callable[[], T]) -> T:
        """Wait as `until` does, no longer than the coordinator runs."""
        return until(what, holds, PATIENCE, self.last_words)

    def last_words(self) -> str | None:
        return None if self.process.poll() is None else self.said()[-2000:]

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def submitted(self) -> list[str]:
        """Numbers of the jobs that it has submitted since it was started last."""
        return re.findall(r"SLURM jobid (\d+)", self.said()[self.begun :])


def goes_through(folder: Path, local: dict[str, bytes], *, accounting: bool) -> Iterator[str]:
    """Run the study through Slurm with all that can happen; yield what was not as it should be."""
    copy_settings(folder)
    # The profile has Slurm warn a job of its time limit; once, none is warned, which takes a minute longer.
    unwarned = ("--set-resources", "cells:slurm_extra=''") if accounting else ()
    coordinator = Coordinator(folder, *unwarned, accounting=accounting)
    try:
        coordinator.until("a job waited or ran", jobs)
        call("scontrol", "update", f"nodename={HOST}", "state=drain", "reason=a test")
        print("  the node is drained", flush=True)
        time.sleep(5)
        call("scontrol", "update", f"nodename={HOST}", "state=resume")
        print("  and resumed", flush=True)
        coordinator.until("a network was trained", lambda: workers(folder))
        canceled = coordinator.until("a cell ran", cells)[0]
        call("scancel", canceled)
        print(f"  job {canceled} was canceled", flush=True)
        coordinator.kill_and_start_again()
        print("  the coordinator was killed, and started again", flush=True)

        # Early, so that others work meanwhile: Slurm's least limit is a minute.
        stopped = coordinator.until("a job of its own trained", lambda: stand_still(coordinator))
        call("scontrol", "update", f"jobid={stopped}", "timelimit=1")
        print(f"  the training of job {stopped} stands still, until its time limit", flush=True)
        status = coordinator.process.wait(PATIENCE)
    finally:
        coordinator.kill()
    if status:
        yield f"the coordinator ended with status {status}:\n{coordinator.said()[-3000:]}"
    end = f"'{stopped}' failed, SLURM status is: '{'TIMEOUT' if accounting else 'FAILED'}'"
    if end not in coordinator.said():
        yield f"no time limit ended job {stopped}"
    yield from differences(local, contents(folder))


def stand_still(coordinator: Coordinator) -> str | None:
    """Stop a training of a job that this start of the coordinator submitted; the job's number."""
    for process in workers(coordinator.folder):
        with contextlib.suppress(OSError):
            if (job := job_of(process)) in coordinator.submitted():
                os.kill(process, signal.SIGSTOP)
                return job
    return None


def differences(local: dict[str, bytes], here: dict[str, bytes]) -> Iterator[str]:
    """Which results are not those of the local run. The report tells costs, which differ."""
    for name in sorted(local.keys() | here.keys()):
        if name != f"{RESULTS}/report.html" and local.get(name) != here.get(name):
            yield f"{name} {'differs' if name in here else 'is lost'}"


# Each fault says whether it met anything: one that met nothing does not count.


def scancel(coordinator: Coordinator, chance: random.Random) -> bool:
    return _of_a_job(chance, "scancel", "{}")


def time_limit(coordinator: Coordinator, chance: random.Random) -> bool:
    return _of_a_job(chance, "scontrol", "update", "jobid={}", "timelimit=1")


def kill_worker(coordinator: Coordinator, chance: random.Random) -> bool:
    there = sorted(workers(coordinator.folder))
    return bool(there) and _killed(chance.choice(there))


def kill_step(coordinator: Coordinator, chance: random.Random) -> bool:
    """Kill the daemon of a job. Slurm sees that at the job's time limit, which is hours away."""
    daemons = call("pgrep", "-a", "slurmstepd", check=False)
    there = re.findall(r"^(\d+) slurmstepd: \[(\d+)\.", daemons, re.MULTILINE)
    if not there:
        return False
    process, job = chance.choice(there)
    call("scontrol", "update", f"jobid={job}", "timelimit=1", check=False)
    return _killed(int(process))


def kill_coordinator(coordinator: Coordinator, chance: random.Random) -> bool:
    """Kill one that has started a job."""
    if there := "rule " in coordinator.said()[coordinator.begun :]:
        coordinator.kill_and_start_again()
    return there


def full_disk(coordinator: Coordinator, chance: random.Random) -> bool:
    if not jobs():
        return False
    filler = coordinator.folder / "filler"
    try:
        call("dd", "if=/dev/zero", f"of={filler}", "bs=1M", check=False)
        time.sleep(chance.uniform(5, 15))
    finally:
        filler.unlink(missing_ok=True)
    return True


def read_only(coordinator: Coordinator, chance: random.Random) -> bool:
    folder = coordinator.folder / RESULTS / chance.choice(["models", "banks", "runs", "scratch"])
    if not jobs() or not folder.is_dir():
        return False
    call("mount", "--bind", folder, folder)
    try:
        call("mount", "-o", "remount,bind,ro", folder)
        time.sleep(chance.uniform(5, 15))
    finally:
        call("umount", "--lazy", folder)
    return True


def _of_a_job(chance: random.Random, *words: str) -> bool:
    there = sorted(jobs())
    return bool(there) and works(*(word.format(chance.choice(there)) for word in words))()


def _killed(process: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
        return True
    return False


KINDS = [scancel, kill_worker, kill_step, kill_coordinator, time_limit, full_disk, read_only]


def finished(folder: Path) -> dict[Path, bytes]:
    """What each network and each bank that is there took, which a second making would change."""
    made = {}
    for path in (folder / RESULTS / "benchmarks").rglob("seed*.tsv"):
        with contextlib.suppress(OSError):
            made[path] = path.read_bytes()
    return made


def faults(
    folder: Path, local: dict[str, bytes], count: int, seed: int, *, accounting: bool
) -> Iterator[str]:
    """Run the study through Slurm with seeded faults, as often as it takes; yield what was lost or differs."""
    chance, tried, failures, studies = random.Random(seed), Counter[str](), 0, 0
    coordinator: Coordinator | None = None
    folder.mkdir()
    call("mount", "-t", "tmpfs", "-o", "size=1G", "tmpfs", folder)  # a disk that can be filled
    try:
        while sum(tried.values()) < count:
            end_jobs()
            end_processes(folder)
            call("find", folder, "-mindepth", "1", "-delete")
            copy_settings(folder)
            made: dict[Path, bytes] = {}
            studies += 1
            coordinator = Coordinator(folder, accounting=accounting)
            while (status := coordinator.process.poll()) != 0:
                if status is not None:
                    # Too many jobs failed too often; whoever sees that calls it again.
                    failures += 1
                    if failures > 2 * count:
                        raise RuntimeError(coordinator.said()[-3000:])
                    call(*coordinator.words, "--unlock", check=False)
                    coordinator.start()
                kind = chance.choice(KINDS)
                if sum(tried.values()) < count and kind(coordinator, chance):
                    tried[kind.__name__] += 1
                    print(f"  {sum(tried.values())} {kind.__name__}", flush=True)
                made = finished(folder) | made  # of the first time
                time.sleep(chance.uniform(2, 30))
            wrong = [
                f"{path.relative_to(folder)}: made again"
                for path, cost in finished(folder).items()
                if made.get(path, cost) != cost
            ]
            wrong += differences(local, contents(folder))
            if wrong:
                shutil.copytree(folder, folder.with_name(f"wrong{studies}"))
            yield from wrong
    finally:
        if coordinator is not None:
            coordinator.kill()
        call("umount", "--lazy", folder)
    print(
        f"  {dict(tried)} in {studies} studies; the coordinator was called {failures} times again"
    )


def main(
    accounting: Annotated[
        bool | None,
        typer.Option(help="Whether Slurm keeps accounts; both, one after the other, if left out."),
    ] = None,
    count: Annotated[int, typer.Option("--faults", help="So many seeded faults instead.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the faults.")] = 0,
    made: Annotated[
        Path | None, typer.Option(help="Where the local study is made, or lies.")
    ] = None,
) -> None:
    """Run the tiny study through Slurm, and compare it with a local run."""
    aside = Path(tempfile.mkdtemp(prefix="slurm", dir=os.environ.get("TMPDIR")))
    aside.chmod(0o755)
    print(f"All of it lies in {aside}, which is removed if all goes well.", flush=True)
    os.environ["TMPDIR"] = str(aside / "tmp")  # a Snakemake that is killed leaves folders there
    (aside / "tmp").mkdir()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and what was started is stopped
    begun = time.monotonic()
    wrong: list[str] = []
    try:
        local = contents(made_study((made or aside / "local").absolute()))
        for accounts in [False, True] if accounting is None else [accounting]:
            print(
                f"Slurm {'with' if accounts else 'without'} accounting ({time.monotonic() - begun:.0f} s)",
                flush=True,
            )
            with slurm(aside / f"slurm{accounts:d}", accounting=accounts):
                study = aside / f"study{accounts:d}"
                found = (
                    faults(study, local, count, seed, accounting=accounts)
                    if count
                    else goes_through(study, local, accounting=accounts)
                )
                for fault in found:
                    wrong.append(fault)
                    print(fault, flush=True)
    finally:
        end_processes(aside)
    print(
        f"{len(local)} files of a local run, {len(wrong)} differences ({time.monotonic() - begun:.0f} s)"
    )
    if wrong:
        sys.exit(1)
    shutil.rmtree(aside)


if __name__ == "__main__":
    typer.run(main)
