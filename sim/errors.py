"""The exceptions a user can meet: one sentence each, saying what, expected, got and the remedy."""


class PliantError(Exception):
    """Base of every exception Pliant raises on purpose."""


class InputError(PliantError, ValueError):
    """What was handed over is not what is accepted; the sentence names the remedy."""


class MissingDependencyError(PliantError, ImportError):
    """An optional package is needed; the sentence names the extra that installs it."""
