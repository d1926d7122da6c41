"""Every reader ends in one sentence, whatever is in the place of its file."""

import ast
import errno
import gzip
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest

from equimodal.study import files, layout
from equimodal.study.analysis.collect import accuracies
from equimodal.study.cli import main
from equimodal.study.errors import UserError, in_words
from equimodal.study.expansion import expand_runs
from equimodal.study.files import read_json, write_text
from equimodal.study.params import load_params
from equimodal.study.report.costs import read_benchmark
from equimodal.study.spec import RunSpec, read_specs
from equimodal.study.table_files import read_table, write_table
from tests.conftest import LABELS, ROOT, right_answers
from tests.tables import made_up_tables

READERS: dict[str, Callable] = {  # name of the file -> what reads it
    "table.csv": lambda path: read_table(path, "make it", ("run", "step"), filled=("run",)),
    "table.csv.gz": lambda path: read_table(path, "make it", ("run", "step"), filled=("run",)),
    "spec.json": lambda path: read_json(path, RunSpec, "make it"),
    "specs.jsonl": lambda path: read_specs(path, "make it"),
    "bank.npz": lambda path: accuracies(path, {"gray": "m0"}),
    "benchmark.tsv": read_benchmark,
    "params.yaml": lambda path: load_params(path),
}


def write_whole(path, project):
    """Write a file that its reader takes."""
    spec = next(iter(expand_runs(project.load()).values())).model_dump_json()
    text = {
        "spec.json": spec,
        "specs.jsonl": f"{spec}\n",
        "benchmark.tsv": "s\tcpu_time\tmax_rss\n1.5\t1.0\t-\n",
    }.get(path.name, "run,step\na,1.5\nb,\n")
    if path.suffix == ".npz":
        np.savez(path, labels=LABELS, **{"regular/gray": right_answers(7, sure=2)})
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix != ".yaml":
        path.write_text(text)


def in_place_of(make):
    """A damage that puts something else there."""

    def damage(path):
        path.unlink()
        make(path)

    return damage


DAMAGES = {
    "missing": Path.unlink,
    "a folder": in_place_of(Path.mkdir),
    "a loop of links": in_place_of(lambda path: path.symlink_to(path)),
    "a pipe": in_place_of(os.mkfifo),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-2]),
    "empty": lambda path: path.write_bytes(b""),
    "of another encoding": lambda path: path.write_bytes(b"a: \xff\xfe\x00\n"),
    "nested": lambda path: path.write_bytes(b"[" * 100_000),
    "null": lambda path: path.write_bytes(b"null"),
    "too large": lambda path: path.write_bytes(
        (gzip.compress if path.suffix == ".gz" else bytes)(b"a" * 2 * 10**6)
    ),
}


FINE = [  # no run, a comment that is cut, a measure less
    *(("specs.jsonl", "empty"), ("params.yaml", "cut off"), ("benchmark.tsv", "cut off"))
]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", READERS)
def test_whatever_is_in_the_place_of_a_file_is_one_sentence(project, monkeypatch, name, damage):
    path = project.folder / name
    write_whole(path, project)
    READERS[name](path)
    if (name, damage) in FINE:
        return
    monkeypatch.setattr(files, "MOST", 10**6)
    DAMAGES[damage](path)
    with pytest.raises(UserError) as raised:
        READERS[name](path)
    said = str(raised.value)
    assert name in said
    assert ";" in said or "expected" in said
    assert "\n" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Run,step\na,1\n", "lacks the columns ['run']"),
        ("run,step\na,1\nb,many\n", "step holds 'many', no number"),
        ("run,step\na,1\nb,inf\n", "step holds a number that is not finite"),
        ("run,step\na,1\n,2\n", "a value of run is missing"),
        ("run,step\na,1\nb,2", "its last line is cut off"),
        ("run,step\na,1,3\nb,2,4\n", "longer than its first line"),
        ("run,step\na,1\nb,2,4\n", "Expected 2 fields"),
    ],
)
def test_a_table_that_is_another_is_named_with_what_it_is(tmp_path, text, named):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=r"t\.csv is damaged .*; make it again") as raised:
        READERS["table.csv"](tmp_path / "t.csv")
    assert named in str(raised.value)


def promising(path, values):
    """An array whose header promises more values than there are."""
    with ZipFile(path, "w", ZIP_DEFLATED) as archive, archive.open("labels.npy", "w") as member:
        np.lib.format.write_array_header_1_0(
            member, {"descr": "<i8", "fortran_order": False, "shape": (values,)}
        )


@pytest.mark.parametrize("values", [11, 10**10, 10**12, 10**30])
def test_an_array_that_promises_too_much_is_refused(tmp_path, values):
    promising(tmp_path / "bank.npz", values)
    with pytest.raises(UserError, match=r"bank\.npz is damaged .*; evaluate the run again"):
        accuracies(tmp_path / "bank.npz", {"gray": "m0"})


def test_arrays_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "bank.npz", labels=np.zeros(10**5))
    monkeypatch.setattr(files, "MOST", 10**5)
    with pytest.raises(UserError, match="asks for more memory"):
        accuracies(tmp_path / "bank.npz", {"gray": "m0"})


def test_a_table_whose_names_are_numbers_keeps_them_as_words(tmp_path):
    (tmp_path / "t.csv").write_text("run,step\n2024,1\n007,2\n")
    assert READERS["table.csv"](tmp_path / "t.csv")["run"].tolist() == ["2024", "007"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("bad\nand long"), "bad"),
        (EOFError(), "EOFError"),  # what torch raises for an empty file
        (KeyError("x"), "it has no 'x'"),
        (IsADirectoryError(21, "Is a directory"), "is a directory"),
        (MemoryError(), "it asks for more memory than there is"),
        (RecursionError("maximum"), "it is nested too deeply"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "it is not UTF-8"),
    ],
)
def test_errors_are_told_in_words(error, words):
    assert in_words(error) == words


OURS = ("read_text", "write_text")  # of files.py
OTHERS = ("data", "runs")  # of the study: packages whose files are read and written elsewhere


def test_text_is_read_and_written_as_utf_8_whatever_the_locale():
    """Every call that opens text names its encoding."""
    source = ROOT / "src/equimodal"
    bare = []
    for path in sorted(source.rglob("*.py")):
        if path.relative_to(source).parts[1:2] and path.relative_to(source).parts[1] in OTHERS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) in OURS:
                continue
            called = re.sub(r".*\.", "", ast.unparse(node.func))
            modes = [a.value for a in node.args if isinstance(a, ast.Constant)]
            is_text = called in ("read_text", "write_text") and len(node.args) < 2
            is_text |= called == "open" and not any("b" in str(mode) for mode in modes)
            if is_text and not {"encoding", "fileobj"} & {k.arg for k in node.keywords}:
                bare.append(f"{path.name}:{node.lineno}")
    assert bare == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("a.csv is missing"), "equimodal: a.csv is missing\n"),
        (PermissionError(13, "Permission denied", "a.csv"), "equimodal: a.csv can not be used: perm"),
        (MemoryError(), "can not be used: it asks for more memory than there is; "),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            "it asks for more memory than there is; ",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "no space left on device; make room on its disk",
        ),
        (RecursionError("maximum"), "can not be used: it is nested too deeply; "),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "can not be used: it is not UTF-8; "),
    ],
)  # fmt: skip
def test_what_no_verb_expects_is_one_sentence_all_the_same(monkeypatch, capsys, error, said):
    def verb(**_):
        raise error

    monkeypatch.setattr("equimodal.study.cli.app", verb)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1


def test_verbs_read_and_print_what_no_ascii_locale_knows(project):
    project.edit("config/scales/tiny.yaml", "Tiny scale.", "Größe ± 日本")
    write_table(made_up_tables()["three_views"], layout.table("tiny", "three_views"))
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "equimodal", "claims", "--claim", "three_views"],
        env=os.environ | locale | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        check=True,
    )
    assert "Größe ± 日本" in done.stdout.decode("utf-8")


def test_where_nothing_can_be_written_or_removed_the_file_itself_is_named(tmp_path, monkeypatch):
    def read_only(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "a.csv.part")

    with monkeypatch.context() as patch:
        for name in ("write_text", "unlink"):
            patch.setattr(Path, name, read_only)
        with pytest.raises(
            UserError, match=rf"^{tmp_path}/a\.csv can not be written: Read-only file"
        ):
            write_text("a\n", tmp_path / "a.csv")
