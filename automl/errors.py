"""What went wrong on the user's side, in one line."""


class UserError(Exception):
    """A mistake that the user can mend: one line that names the value, the place and the fix.

    The command line prints it alone, without a traceback, and exits with status 2.
    """
