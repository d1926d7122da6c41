"""What a rule depends on of the code.

A trained network costs hours, so it should be made again when the code that made it changes, and
not when a comment, a docstring or the formatting does. `code_hash` reads the modules that an entry
module imports, directly or not, and hashes their syntax trees without all that.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = "equimodal"
ROOT = Path(__file__).parents[1]
# What these do shows in no result: they hold the version, hash code, bring files of known checksums,
# name and write files, word messages, say what a data set or a method is asked, share work out.
COMPUTE_NOTHING = {PACKAGE, f"{PACKAGE}.linear", f"{PACKAGE}.study", f"{PACKAGE}.study.data"} | {
    f"{PACKAGE}.study.{name}"
    for name in (
        *("code", "cost", "devices", "errors", "files", "layout", "locks", "pickles", "progress"),
        *("receipts", "methods", "schema", "spares", "steps", "turns"),
        *(f"data.{name}" for name in ("dataset", "download", "prepared", "status", "workers")),
    )
}


is_asked = True  # not where Snakemake starts for one job and compares nothing: hashes take a second


def code_hash(*entries: str) -> str:
    """Hash the meaning of the modules `entries` and of all modules of ours that they import.

    `entries` are dotted names, such as `equimodal.study.runs.run`; ModuleNotFoundError if there is no such module.
    """
    if not is_asked:
        return ""
    modules = sorted(imported_modules(*entries) - COMPUTE_NOTHING)
    digest = hashlib.sha256()
    for module in modules:
        _, meaning = _read(_file(module).read_text(encoding="utf-8"))
        digest.update(f"{module}\n{meaning}\n".encode())
    return digest.hexdigest()[:16]


def imported_modules(*entries: str) -> set[str]:
    """Names of `entries` and of all modules of ours that running them imports.

    Imports inside functions count as well. The module `equimodal.study.errors`, say, is found through
    `from equimodal.study.errors import UserError`, and `equimodal` through any of its modules.
    """
    found: set[str] = set()
    waiting = list(entries)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += [module.rpartition(".")[0]] if "." in module else []
            names, _ = _read(_file(module).read_text(encoding="utf-8"))
            waiting += [name for name in names if _is_module(name)]
    return found


def _file(module: str) -> Path:
    stem = ROOT.joinpath(*module.split(".")[1:])
    for path in (stem.with_suffix(".py") if stem != ROOT else stem, stem / "__init__.py"):
        if path.is_file():
            return path
    raise ModuleNotFoundError(f"no module {module} below {ROOT}", name=module)


def _is_module(name: str) -> bool:
    try:
        return bool(_file(name))
    except ModuleNotFoundError:
        return False


@cache  # the workflow asks for some forty hashes of mostly the same modules
def _read(source: str) -> tuple[list[str], str]:
    """What a module may import of ours, and its meaning: its code without docstrings, comments and formatting."""
    tree = ast.parse(source)
    names = []
    for node in _run(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = node.body[1 if ast.get_docstring(node) is not None else 0 :]
    return [name for name in names if name.split(".")[0] == PACKAGE], ast.unparse(tree)


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk through the statements that are run of a syntax tree: not what only a type checker reads."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        match node:
            case ast.If(test=ast.Name("TYPE_CHECKING")):
                waiting += node.orelse
            case _:  # an expression holds no statement
                waiting += [n for n in ast.iter_child_nodes(node) if not isinstance(n, ast.expr)]
