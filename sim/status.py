"""What a simulation says of itself: one code, the step and the item, and a sentence with the remedy."""

import dataclasses
import enum
from collections.abc import Iterable

from pliant.sim.errors import PliantError

SHOWN = 8  # environments that a sentence names


class Code(enum.IntEnum):
    """Why a rollout stopped; the integers are what kernels write."""

    OK = 0
    LEFT_GRID = 1
    INVERTED = 2
    CFL = 3
    NOT_FINITE = 4
    NOT_CONVERGED = 5
    UNFINISHED = 6  # of a recording whose run was killed, or is still under way


@dataclasses.dataclass(frozen=True)
class Status:
    """Outcome of a rollout: `code`, the substep and index where it first went wrong, and a sentence.

    `warnings` are sentences about what did not stop it but makes its result doubtful; each begins with its subject and
    a colon. Of a batch, `environment` is where it first went wrong, and `failures` holds one status for each environment
    that ended.
    """

    code: Code = Code.OK
    step: int = -1
    index: int = -1
    item: str = ""
    message: str = "completed"
    warnings: tuple[str, ...] = ()
    environment: int | None = None
    failures: tuple["Status", ...] = ()

    @property
    def ok(self) -> bool:
        return self.code == Code.OK

    def to_dict(self) -> dict:
        return {
            **dataclasses.asdict(self), "code": self.code.name, "failures": [status.to_dict() for status in self.failures],
        }  # fmt: skip

    @staticmethod
    def from_dict(data: dict) -> "Status":
        failures = tuple(Status.from_dict(status) for status in data.get("failures", ()))
        warnings = tuple(data.get("warnings", ()))
        return Status(**{**data, "code": Code[data["code"]], "warnings": warnings, "failures": failures})

    @staticmethod
    def of(failures: Iterable["Status"], batch: int) -> "Status":
        """The status of a batch of which these environments ended: that of the first, which counts the others."""
        found = sorted(failures, key=lambda status: (status.step, status.environment))
        if not found:
            return Status()
        first, more = found[0], len(found) - 1
        message = first.message
        if more:
            message += f" {more} more of {batch} environments ended: {_listed([s.environment for s in found[1:]])}."
        return dataclasses.replace(first, message=message, failures=tuple(found))

    def after(self, earlier: "Status") -> "Status":
        """This status as that of a longer run, with the first warning about every subject."""
        first: dict[str, str] = {}
        for sentence in (*earlier.warnings, *self.warnings):
            first.setdefault(sentence.partition(":")[0], sentence)
        return dataclasses.replace(self, warnings=tuple(first.values()))


def _listed(numbers: list) -> str:
    shown = ", ".join(str(number) for number in sorted(numbers)[:SHOWN])
    return shown if len(numbers) <= SHOWN else f"{shown}, ..."


class SimulationError(PliantError, RuntimeError):
    """A rollout could not go on; `.status` says where and why."""

    def __init__(self, status: Status):
        super().__init__(" ".join((status.message, *status.warnings)))
        self.status = status
