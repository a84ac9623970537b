"""The exceptions a user can meet: one sentence each, saying what, expected, got and the remedy."""

from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")
LONGEST = 500  # characters of a sentence


class PliantError(Exception):
    """Base of every exception Pliant raises on purpose.

    A sentence is one line, whatever values it quotes; of a very long one the beginning (what, expected) and the end (the
    remedy) are kept.
    """

    def __init__(self, sentence: str = ""):
        line = " ".join(sentence.split())
        super().__init__(line if len(line) <= LONGEST else f"{line[: LONGEST - 205]} ... {line[-200:]}")


class InputError(PliantError, ValueError):
    """What was handed over is not what is accepted; the sentence names the remedy."""


class MissingDependencyError(PliantError, ImportError):
    """An optional package is needed; the sentence names the extra that installs it."""


class UnknownNameError(InputError, KeyError):
    """A `KeyError`, as a mapping must raise, that reads as a sentence."""

    __str__ = Exception.__str__


def named(values: Mapping[str, Value], name: str, what: str) -> Value:
    """The value of a name; `what` says in the error whose names they are."""
    if name not in values:
        raise UnknownNameError(f"{what}: expected one of {sorted(values)}, got {name!r}; correct the name.")
    return values[name]
