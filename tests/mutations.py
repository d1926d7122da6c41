"""Seeded faults in the code of the method: `make test-mutations`, or `python -m tests.mutations --help`.

Each fault is one small edit of a copy of the package: another operator, a flipped condition, a call or a statement
left out. The tests of the method have to fail with it. One that they pass is a fact that no test states, or an edit
that changes nothing, which then stands below with its reason. Status 1 if more than one in twenty is not caught.
"""

import ast
import copy
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/equimodal"
METHOD = ["fusion/*.py", "metrics/*.py", "models/network.py", "models/four_conv.py", "training/**/*.py"]  # fmt: skip
TESTS = ["fusion", "metrics", "models/test_four_conv.py", "models/test_network.py", "training", "reference"]  # fmt: skip
# Arguments that guard, hasten or say where, and change no number: their absence shows on a GPU, or in an error.
IMMATERIAL = ("strict", "non_blocking", "set_to_none", "inplace", "device", "devices")
LIMIT = 300  # seconds; tests that take longer hang, and so notice the fault

# (line, what stands there then) -> why nothing can come out otherwise.
EQUIVALENT = {
    ("self.taken = torch.tensor(0, device=device)", "1"): "the first step is regular, and sets it to 0",
    ("counted = (~held.any()).double()", "~held.any()"): "true counts as 1",
    ("values = optimizer.state[p].values() if p in optimizer.state else ()", "optimizer.state[p].values()"): "an "
    "empty entry is made, which the optimizer would make",
    ("return torch.zeros((), dtype=torch.float64, device=parameters[0].device)",
     "torch.zeros((), device=parameters[0].device)"): "0 becomes double beside the others",
    ("self.cosines[u], a, b = _integrated(dot(g_m, g_m), dot(g_m, g_u), dot(g_u, g_u))", "dot(g_u, g_m)"): "the "
    "inner product is symmetric",
    ("least = ((uu - mu) / (mm - 2 * mu + uu)).clamp(0, 1).nan_to_num(0.5)", "1.5"): "it counts where both are zero",
    ("sums = of_label.exp().sum(1)", "of_label.exp().mean(1)"): "only the order of the branches counts",
    ("apart = False", "True"): "the answer is the mean of the shares",
}  # fmt: skip

OTHER = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or, ast.Or: ast.And,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
METHODS = {"mean": "sum", "sum": "mean", "any": "all", "all": "any", "max": "min", "argmax": "argmin"}  # fmt: skip
DROPPED = {"abs", "clamp", "clone", "coalesce", "detach", "double", "expand", "flatten", "isfinite", "log",
           "relu", "sigmoid", "sign", "square", "where"}  # fmt: skip
TYPED = {"isinstance", "getattr", "setattr"}  # with their arguments swapped nothing runs at all
UNTOUCHED = {"annotation", "returns", "decorator_list", "bases"}


class Mutant(NamedTuple):
    """One edit: the bytes from `start` to `end` of a file become `code`."""

    file: str
    line: str
    start: int
    end: int
    code: str
    said: str  # old -> new

    @property
    def new(self) -> str:
        return self.said.partition(" -> ")[2]


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in place of an expression or a statement."""

    def altered(change) -> ast.AST:
        other = copy.deepcopy(node)
        change(other)
        return other

    match node:
        case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op) if type(op) in OTHER:
            yield altered(lambda n: setattr(n, "op", OTHER[type(op)]()))
        case ast.Compare(ops=[op]) if type(op) in OTHER:
            yield altered(lambda n: setattr(n, "ops", [OTHER[type(op)]()]))
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(1 - value if value in (0, 1) else value + 1)
        case ast.IfExp(body=body, orelse=orelse):
            yield from (body, orelse)
        case ast.Call(func=func, args=args, keywords=keywords):
            called = ast.unparse(func)
            method = called.rpartition(".")[0] != "torch" and getattr(func, "attr", None)
            if method in METHODS:
                yield altered(lambda n: setattr(n.func, "attr", METHODS[method]))
            if method in DROPPED:
                yield func.value
            if len(args) > 1 and called not in TYPED and not isinstance(args[0], ast.Starred):
                yield altered(lambda n: n.args.__setitem__(slice(0, 2), n.args[1::-1]))
            for i, keyword in enumerate(keywords):
                if keyword.arg not in IMMATERIAL:
                    yield altered(lambda n, i=i: n.keywords.pop(i))


def gone(statement: ast.stmt) -> bool:
    """Whether a statement may be left out: a call or an update, and what raises."""
    match statement:
        case ast.Expr(value=ast.Call(func=func)):
            return not ast.unparse(func).endswith("__init__")
        case ast.AugAssign() | ast.Assign(targets=[ast.Attribute()]):
            return True
        case ast.If(body=[ast.Raise() | ast.Return() | ast.Continue()], orelse=[]):
            return True
    return False


def mutants(file: str, source: bytes) -> Iterator[Mutant]:
    """All mutants of a file. Messages, annotations and docstrings stay as they are."""
    lines = source.splitlines(keepends=True)
    starts = [0, *accumulate(map(len, lines))]

    def mutant(node, new: str, code: str) -> Mutant:
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        old = ast.unparse(node).split("\n")[0]
        line = lines[node.lineno - 1].decode().strip()
        return Mutant(file, line, start, end, code, f"{file}:{node.lineno}: {old} -> {new}")

    def visit(node: ast.AST) -> Iterator[Mutant]:
        if isinstance(node, ast.stmt) and gone(node):
            yield mutant(node, "nothing", "pass")
        for other in changed(node):
            new = ast.unparse(other)
            if new != ast.unparse(node):
                yield mutant(node, new, new if isinstance(node, ast.stmt) else f"({new})")
        for name, value in ast.iter_fields(node):
            of_type = isinstance(node, ast.Subscript) and name == "value"
            for child in value if isinstance(value, list) else [value]:
                kept = isinstance(child, ast.Raise | ast.JoinedStr) or name in UNTOUCHED or of_type
                kept = kept or getattr(child, "arg", None) in IMMATERIAL
                if isinstance(child, ast.AST) and not kept:
                    yield from visit(child)

    yield from visit(ast.parse(source))


def run_tests(package: Path) -> int:
    """Run the tests of the method with a package, in a fork of this process, which has torch loaded; the status."""
    if process := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    signal.alarm(LIMIT)
    os.nice(5)
    os.chdir(ROOT)
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    sys.path.insert(0, str(package.parent))
    import pytest

    options = ["-x", "-q", "-p", "no:cacheprovider", "--basetemp", str(package.parent / "tmp")]
    os._exit(pytest.main([*options, *(f"tests/{part}" for part in TESTS)]))


def caught(mutant: Mutant | None) -> bool:
    """Whether the tests fail with a mutant."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "equimodal"
        shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
        if mutant:
            source = (package / mutant.file).read_bytes()
            code = source[: mutant.start] + mutant.code.encode() + source[mutant.end :]
            (package / mutant.file).write_bytes(code)
        return run_tests(package) != 0


def main(
    count: Annotated[int, typer.Option(help="How many faults.")] = 60,
    seed: Annotated[int, typer.Option(help="Of the choice.")] = 0,
    jobs: Annotated[int, typer.Option(help="How many at a time.")] = 2,
) -> None:
    """Try faults, and say which no test notices."""
    files = sorted({path for pattern in METHOD for path in SOURCE.glob(pattern)})
    every = [m for f in files for m in mutants(f.relative_to(SOURCE).as_posix(), f.read_bytes())]
    every = [m for m in every if (m.line, m.new) not in EQUIVALENT]
    import pandas, pydantic, sklearn.metrics, torch, torch._dynamo  # noqa: F401, I001

    torch.set_num_threads(1)
    if caught(None):
        sys.exit("the tests of the method fail as it is: mend that first")
    chosen = random.Random(seed).sample(every, min(count, len(every)))
    missed = 0
    with ThreadPoolExecutor(jobs) as pool:
        for mutant, found in zip(chosen, pool.map(caught, chosen), strict=True):
            missed += not found
            print("" if found else f"not caught: {mutant.said}\n", end="", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} faults caught; there are {len(every)}")
    sys.exit(missed > len(chosen) / 20)


if __name__ == "__main__":
    typer.run(main)
