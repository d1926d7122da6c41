"""The one kind of error that a user can cause and mend, and what other errors say."""


class UserError(Exception):
    """Something outside the code is wrong: a setting, a file, an address.

    The message names the file, key or value, says what was expected and what to do. The command
    line prints it without a traceback and exits with status 2.
    """


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or the error's name if it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)
