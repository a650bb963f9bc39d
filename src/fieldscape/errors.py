"""The one exception that speaks to the person at the keyboard."""


class BadInput(Exception):
    """Something the user gave cannot be used.

    The message is one or two plain sentences: what is wrong, where, and what to do about it. The command line prints
    it and exits with status 2; a library caller sees it as an ordinary exception.
    """
