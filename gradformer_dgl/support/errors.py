"""Errors that a user can mend: each message is one line that says what is wrong and what to do."""


class GradformerError(Exception):
    """Base of all errors that this package raises on purpose.

    The command line prints such an error as one line and exits with status 1; everything else is a
    defect of the package and keeps its traceback.
    """


class GraphError(GradformerError, ValueError):
    """A graph that cannot be one: node ids out of range, counts that do not add up, NaN features."""


class CacheError(GradformerError):
    """A cache file that is missing, broken, busy, of a newer format, or of other graphs."""


class DataError(GradformerError):
    """Raw data that is missing, unknown or broken."""


class ConfigError(GradformerError, ValueError):
    """An option with a value that makes no sense."""


class RunError(GradformerError):
    """A run folder that is missing something, or a run that cannot go on."""


def one_line(error: object) -> str:
    """Return the text of an error, or of a value, in one line."""
    return " ".join(str(error).split())
