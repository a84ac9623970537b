"""What a simulation says of itself: one code, the step and the item, and a sentence with the remedy."""

import dataclasses
import enum

from sim.errors import PliantError


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
    """Outcome of a rollout: `code`, the substep and index where it first went wrong, and a sentence."""

    code: Code = Code.OK
    step: int = -1
    index: int = -1
    item: str = ""
    message: str = "completed"

    @property
    def ok(self) -> bool:
        return self.code == Code.OK

    def to_dict(self) -> dict:
        return {**dataclasses.asdict(self), "code": self.code.name}

    @staticmethod
    def from_dict(data: dict) -> "Status":
        return Status(**{**data, "code": Code[data["code"]]})


class SimulationError(PliantError, RuntimeError):
    """A rollout could not go on; `.status` says where and why."""

    def __init__(self, status: Status):
        super().__init__(status.message)
        self.status = status
