"""An arguments dataclass is configuration, command line and documentation at once.

@dataclasses.dataclass(kw_only=True)
class Arguments:
    \"\"\"Train the crawler by gradients through the simulation.\"\"\"
    iterations: int = option(100, "how long to train")
    folder: Path | None = option(None, "where the run is kept")

arguments = parse(Arguments, ["--iterations", "20"])
"""

import argparse
import dataclasses
import math
import pathlib
import sys
import types
import typing
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

from pliant.sim.errors import InputError

T = TypeVar("T")
LAST_SEED = 2**63 - 1  # that torch and NumPy both take


def option(
    default: Any,
    help: str,
    *,
    may_change: bool = False,
    least: float | None = None,
    above: float | None = None,
    most: float = math.inf,
) -> Any:
    """A dataclass field with help text.

    Args:
        default: its value when not given.
        help: what the command line says about it; units in brackets.
        may_change: whether a resumed run may be given another value (how long, where, how it is shown).
        least, above, most: of a number, its least value, or what it has to be above, and its greatest: see `check`, which
            a `Run` calls.
    """
    metadata = {"help": help, "may_change": may_change, "range": (least, above, most)}
    if isinstance(default, list | dict | set):
        return dataclasses.field(default_factory=lambda: default.copy(), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def check(arguments: Any) -> None:
    """Raise `InputError` for a number outside the range of its option; None is no number."""
    for field in dataclasses.fields(arguments):
        least, above, most = field.metadata.get("range", (None, None, math.inf))
        value = getattr(arguments, field.name)
        if value is None or (least is None and above is None):
            continue
        held = value >= least if above is None else value > above
        if not (held and value <= most and math.isfinite(value)):
            end = "" if most == math.inf else f" and at most {most:g}"
            known = f"above {above:g}" if above is not None else f"of at least {least:g}"
            raise InputError(f"{field.name}: expected a number {known}{end}, got {value!r}; correct it.")


def parse(cls: type[T], words: Sequence[str] | None = None, *, prog: str | None = None) -> T:
    """The dataclass filled from command line words (default: those of the process).

    Errors: `InputError` for an unknown option or a value of the wrong type.
    """
    parser = arguments_to_parser(cls, prog=prog)
    return cls(**vars(parser.parse_args(sys.argv[1:] if words is None else list(words))))


def arguments_to_parser(cls: type, *, prog: str | None = None) -> argparse.ArgumentParser:
    """A parser with one `--option` a field: its type from the annotation, its default and help from the field.

    bool becomes --x / --no-x, Literal[...] a choice, tuple[int, ...] several values, X | None an optional value.
    """
    hints = typing.get_type_hints(cls)
    parser = _Parser(prog=prog, description=cls.__doc__, formatter_class=_Formatter)
    for field in dataclasses.fields(cls):
        if field.init:
            _add(parser, field, hints[field.name])
    return parser


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    pass


class _Parser(argparse.ArgumentParser):
    """Errors are sentences, not exits."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"options: {message}; --help lists them.")


def _add(parser: argparse.ArgumentParser, field: dataclasses.Field, hint: Any) -> None:
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    required = default is dataclasses.MISSING
    text = field.metadata.get("help", " ")
    common: dict[str, Any] = {"help": text, "required": required}
    if not required:
        common["default"] = default
    parser.add_argument(f"--{field.name.replace('_', '-')}", **common, **_kind(field.name, _without_none(hint)))


def _kind(name: str, hint: Any) -> dict[str, Any]:
    """The argparse keywords of a type."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if origin is typing.Literal:
        return {"type": type(inner[0]), "choices": inner}
    if origin is tuple:
        several = len(inner) == 2 and inner[1] is Ellipsis
        return {"type": inner[0], "nargs": "*" if several else len(inner), "action": _AsTuple}
    if hint in (int, float, str, pathlib.Path):
        return {"type": hint, "metavar": hint.__name__.upper()}
    known = "int, float, str, bool, Path, Literal or a tuple of one of them"
    raise InputError(f"{name}: expected the type {known}, got {hint}; change the annotation.")


def _without_none(hint: Any) -> Any:
    """X of X | None."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint
    inner = [part for part in typing.get_args(hint) if part is not type(None)]
    return inner[0] if len(inner) == 1 else hint


class _AsTuple(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None) -> None:
        setattr(namespace, self.dest, tuple(values))
