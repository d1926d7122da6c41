"""The one kind of error that a user can cause and mend, and what other errors say."""

import errno
from collections.abc import Iterable

# Status of a verb that was asked to stop, and goes on when it is called again: EX_TEMPFAIL.
STOPPED = 75


class UserError(Exception):
    """Something outside the code is wrong: a setting, a file, an address.

    The message names the file, key or value, says what was expected and what to do.
    """


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the error's name if it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def few(items: Iterable[object], most: int = 3) -> str:
    """Name the first of some items for a sentence, and how many more there are."""
    names = [str(item) for item in items]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def lacks_memory(error: BaseException) -> bool:
    """Whether there was too little memory: torch says so in errors of another kind."""
    words = ("allocate memory", "out of memory")
    told = isinstance(error, RuntimeError) and any(w in str(error) for w in words)
    return told or isinstance(error, MemoryError)


def in_words(error: BaseException) -> str:
    """Say what an error of Python or of a library means for the file that it is about."""
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    if isinstance(error, MemoryError | OverflowError) or lacks_memory(error):
        return "it asks for more memory than there is"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, KeyError):
        return f"it has no {first_line(error)}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    return first_line(error)


def in_a_sentence(error: Exception, of: str = "a file or a setting") -> str | None:
    """Say what a user or the machine did wrong; None of a mistake of ours."""
    if isinstance(error, UserError):
        return str(error)
    remedy = "see that it is what it should be"
    if lacks_memory(error):
        remedy = "take a smaller network or batch, or fewer runs side by side"
    elif not isinstance(error, OSError | RecursionError | UnicodeError):
        return None
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "make room on its disk"
    file = getattr(error, "filename", None) or of
    return f"{file} can not be used: {in_words(error)}; {remedy}"
