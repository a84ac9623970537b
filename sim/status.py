"""What a simulation says of itself: one code, the step and the item, and a sentence with the remedy."""

import dataclasses
import enum

from pliant.sim.errors import PliantError


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
    a colon.
    """

    code: Code = Code.OK
    step: int = -1
    index: int = -1
    item: str = ""
    message: str = "completed"
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.code == Code.OK

    def to_dict(self) -> dict:
        return {**dataclasses.asdict(self), "code": self.code.name}

    @staticmethod
    def from_dict(data: dict) -> "Status":
        return Status(**{**data, "code": Code[data["code"]], "warnings": tuple(data.get("warnings", ()))})

    def after(self, earlier: "Status") -> "Status":
        """This status as that of a longer run, with the first warning about every subject."""
        first: dict[str, str] = {}
        for sentence in (*earlier.warnings, *self.warnings):
            first.setdefault(sentence.partition(":")[0], sentence)
        return dataclasses.replace(self, warnings=tuple(first.values()))


class SimulationError(PliantError, RuntimeError):
    """A rollout could not go on; `.status` says where and why."""

    def __init__(self, status: Status):
        super().__init__(" ".join((status.message, *status.warnings)))
        self.status = status
