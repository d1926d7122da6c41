"""The one kind of error that a user can cause and mend."""


class UserError(Exception):
    """Something outside the code is wrong: a setting, a file, an address.

    The message names the file, key or value, says what was expected and what to do. The command
    line prints it without a traceback and exits with status 2.
    """
