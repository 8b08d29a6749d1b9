"""Every error a user may meet, each one sentence that says what to do.

The tree, with the exit code the command line ends with::

    AmparoError                  2
    ├── UsedWrongly              2   an argument or an input file that must be put right
    ├── NotAllowed               3   no live order covers this act; nothing was read
    │   ├── OrderInvalid         3   the order file lacks or contradicts something
    │   └── OrderExpired         3   the order lapsed, or is not yet in force
    ├── SourceUnreadable         4   the source cannot be opened at all
    ├── PackageWrong             1   a package does not hold what it says it holds
    └── ReadFailed               5   one range or one file could not be read (becomes a ``problems`` row)
"""


class AmparoError(Exception):
    """Root of the tree. ``str(error)`` is one sentence for the officer; ``exit_code`` is what the command ends with."""

    exit_code = 2


class UsedWrongly(AmparoError):
    """The command was given something that it cannot use."""


class NotAllowed(AmparoError):
    """The law, as far as the order shows it, does not allow this act."""

    exit_code = 3


class OrderInvalid(NotAllowed):
    """The order file cannot be relied on."""


class OrderExpired(NotAllowed):
    """The order is not in force on this day."""


class SourceUnreadable(AmparoError):
    """Nothing at all can be read from the source."""

    exit_code = 4


class PackageWrong(AmparoError):
    """A package was changed, cut, or never finished."""

    exit_code = 1


class ReadFailed(AmparoError):
    """A range of bytes, or one file, could not be read; the run goes on."""

    exit_code = 5
