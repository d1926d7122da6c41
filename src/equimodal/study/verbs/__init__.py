"""The verbs of the command line, a module for each panel of its help.

Each verb imports what it needs when it runs, so that drawing a figure does not load torch.
"""

from typing import Any

from equimodal.study.errors import UserError


def one_of(name: str, known: Any, what: str) -> str:
    """Return the name of one of the known things; UserError that lists them if it is none."""
    if name not in known:
        raise UserError(f"there is no {what} {name!r}; there are {sorted(known)}")
    return name
