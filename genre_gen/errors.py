"""Errors for users: what was wrong, where, and the remedy.

Every error that the library raises on purpose derives from :class:`GenreGenError`; the command line prints
``str(error)`` as one line and exits with 1 (or 2 for :class:`UsageError`).
"""

from __future__ import annotations

from genre_gen.data.printable import printable, quoted_text

LONGEST = 2000
"""Characters of a message; of a longer one the middle is left out, since remedies come last."""


class GenreGenError(Exception):
    """Base of all errors raised on purpose. The message is one line that ends with the remedy.

    Values from data are quoted in messages, so control characters are replaced here, and long messages are cut.

    Example:
        >>> try:
        ...     Dataset.load("moovies")
        ... except GenreGenError as error:
        ...     print(error)
        no domain 'moovies', did you mean 'movies'?; there are: …
    """

    def __init__(self, message: str = "") -> None:
        """Hold a message that is safe to print."""
        if len(message) > LONGEST:
            message = f"{message[: LONGEST * 2 // 3]} … {message[-LONGEST // 3 :]}"
        super().__init__(printable(message, keep="\n"))


def quoted(value: object, length: int = 80) -> str:
    """Return what a message quotes of a value: its ``repr``, cut; Python refuses to write very large numbers.

    Text is quoted with all its letters, also those that ``repr`` would write as codes, such as no-break spaces.
    """
    try:
        if isinstance(value, str):
            return f"{quoted_text(value[: length + 1]):.{length}}"
        return f"{value!r:.{length}}"
    except Exception:  # repr may run code of any package
        return f"<{type(value).__name__}>"


class UsageError(GenreGenError, ValueError):
    """An invalid argument, such as n = 0, an empty history, or two ways of naming the user."""


class DataError(GenreGenError):
    """A data file that cannot be read as declared. The message names file, line and value."""


class ConfigError(GenreGenError):
    """An invalid ``domain.toml`` or training setting: unknown key, wrong type, missing file."""


class PromptError(GenreGenError):
    """A template that does not parse, names an unknown variable, or exceeds its limits."""


class UnknownItemError(GenreGenError, KeyError):
    """An item id or title that is not in the catalog. The message names the closest titles."""

    def __str__(self) -> str:
        """Return the message itself (``KeyError`` would quote it)."""
        return str(self.args[0]) if self.args else ""


class UnknownUserError(GenreGenError, KeyError):
    """A user id without interactions in the training data."""

    def __str__(self) -> str:
        """Return the message itself (``KeyError`` would quote it)."""
        return str(self.args[0]) if self.args else ""


class FilterError(UsageError):
    """A ``where`` expression that is invalid or names an unknown field."""


class SourceError(GenreGenError):
    """Data or a model that cannot be fetched, or whose checksum does not match."""


class CheckpointError(GenreGenError):
    """A saved folder that is incomplete, damaged or made for other data."""


class OutputError(GenreGenError):
    """A file or folder that results cannot be written to."""


class MissingPackageError(GenreGenError, ImportError):
    """An optional package that is not installed. The message has the command that installs it."""


class DecodingError(GenreGenError):
    """Invalid scores of the language model (NaN or infinite), from which nothing can be generated."""


class BusyError(GenreGenError):
    """A full queue, or a deadline that passed before the work began; nothing was done.

    Attributes:
        retry_after: seconds after which another attempt is worth it.
    """

    def __init__(self, message: str = "", retry_after: float = 1.0) -> None:
        """Hold the message, and the seconds to wait."""
        super().__init__(message)
        self.retry_after = retry_after


class StoreError(GenreGenError):
    """A store that cannot be opened, read or written (disk full, read-only, locked by another process).

    What was to be written is not stored, and was not acknowledged.
    """
