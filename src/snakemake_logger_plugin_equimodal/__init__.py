"""What `make reproduce` says in a terminal: one line with what is done, what is left and an estimate.

Snakemake finds a package of this name as `--logger equimodal`. Its own words stay in .snakemake/log.
"""

import logging
import os
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

EVERY = 30.0  # seconds between lines where there is no terminal
OTHER = 8.0  # seconds of a job that trains nothing
TRUSTED = 30.0  # seconds of work that the expectation counts for beside what was seen
LAST_LINES = 20  # of the log of a job that failed, or of an error; .snakemake/log has all
LONGEST = 400  # characters of a line of an error
BY_CTRL_C = re.compile(r"exit status 130\b|Signals\.SIGINT")

expected: dict[str, float] = {}  # rule -> seconds; the Snakefile knows the jobs that take long

# Snakemake imports this as it starts, before it reads its options: nothing else of ours is called in time.
words = [*sys.argv, *(f"--profile={p}" for p in os.environ.get("SNAKEMAKE_PROFILE", "").split())]
if {"--profile", "--executor", "-e"} & {word.partition("=")[0] for word in words}:
    from equimodal.study import preflight

    if lacking := [*preflight.executor(words)]:
        sys.exit("\n".join(lacking))


class Forecast:
    """How long the jobs of a run will take, by what was expected and by what those that are done took."""

    def __init__(self, jobs: Mapping[str, int], cores: int) -> None:
        """Of the jobs of each rule, on so many cores."""
        self.jobs, self.cores = sum(jobs.values()), max(1, cores)
        self.seconds = sum(n * expected.get(rule, OTHER) for rule, n in jobs.items()) / self.cores
        self.done = 0.0

    def finish(self, rule: str) -> None:
        """Count a job as done."""
        self.done += expected.get(rule, OTHER) / self.cores

    def left(self, elapsed: float) -> float:
        """Seconds that are left: the expectation, at the pace so far."""
        pace = (elapsed + TRUSTED) / (self.done + TRUSTED)
        return max(0.0, self.seconds - self.done) * min(pace, 10.0)


class LogHandler(LogHandlerBase):
    """Writes the line to stderr, and what went wrong."""

    def __post_init__(self) -> None:
        """Start the clock."""
        self.start, self.last, self.cores = time.monotonic(), 0.0, 1
        self.forecast: Forecast | None = None
        self.rules: dict[Any, str] = {}
        self.now = ""
        self.interrupted = False

    def emit(self, record: logging.LogRecord) -> None:
        """Show progress, warnings and errors; say nothing of all else."""
        if BY_CTRL_C.search(str(record.msg)):
            self.interrupted = True  # the job that is told of next
            return
        match getattr(record, "event", None):
            case LogEvent.RESOURCES_INFO if cores := getattr(record, "cores", None):
                self.cores = int(cores)
            case LogEvent.RUN_INFO:
                stats: Any = record
                jobs = {rule: int(n) for rule, n in stats.stats.items() if rule != "total"}
                self.forecast = Forecast(jobs, self.cores)
                said = in_words(self.forecast.seconds)
                self.say(f"{self.forecast.jobs} jobs, on {self.cores} cores: about {said}.")
            case LogEvent.JOB_INFO:
                of_job: Any = record
                self.rules[of_job.jobid] = of_job.rule_name
                # Of the message of a cell the first run, whose name stands in a line of its own.
                self.now = (of_job.rule_msg or of_job.rule_name).splitlines()[:2][-1].strip()
                self.show()
            case LogEvent.JOB_FINISHED if self.forecast:
                job = getattr(record, "job_id", None)
                self.forecast.finish(self.rules.get(job, ""))
            case LogEvent.PROGRESS:
                of_run: Any = record
                self.show(
                    f"{of_run.done} of {of_run.total} jobs done", last=of_run.done == of_run.total
                )
            case LogEvent.JOB_ERROR if self.interrupted:
                of_job, self.interrupted = record, False
                self.say(f"Interrupted: {of_job.rule_name}")
            case LogEvent.JOB_ERROR:
                of_job = record
                self.say(f"Failed: {of_job.rule_name}")
                for log in of_job.log or ():
                    self.say(f"The end of {log}:\n{end_of(Path(log))}")
            case _ if record.levelno >= logging.WARNING or "Nothing to be done" in str(record.msg):
                lines = str(record.msg).splitlines()[:LAST_LINES]
                self.say("\n".join(textwrap.shorten(line, LONGEST) for line in lines))

    counted = ""

    def show(self, counted: str = "", *, last: bool = False) -> None:
        """Write the line over the one before; where there is no terminal, a line every so often."""
        self.counted = counted or self.counted
        if not self.counted or self.forecast is None:
            return
        elapsed, terminal = time.monotonic() - self.start, sys.stderr.isatty()
        if not (terminal or last or elapsed - self.last >= EVERY):
            return
        self.last = elapsed
        left = (
            f"{in_words(elapsed)} in all"
            if last
            else f"about {in_words(self.forecast.left(elapsed))} left"
        )
        line = f"{self.counted}, {left}" + ("" if last else f": {self.now}")
        width = shutil.get_terminal_size().columns - 1
        before, after = ("\r\033[K", "\n" if last else "") if terminal else ("", "\n")
        print(f"{before}{line[:width]}", end=after, file=sys.stderr, flush=True)

    def say(self, words: str) -> None:
        """Write words of their own, above the line."""
        before = "\r\033[K" if sys.stderr.isatty() else ""
        print(f"{before}{words}", file=sys.stderr, flush=True)

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False


def in_words(seconds: float) -> str:
    """Write a time that is only about right."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def end_of(log: Path) -> str:
    """Return the last lines of a log."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return f"(it can not be read: {error.strerror})"
    return "\n".join(f"    {line}" for line in lines[-LAST_LINES:])
