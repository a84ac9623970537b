"""Particles that change their law during a run: one rollout after another, in which the bodies hold other particles.

A body is a law and the particles that follow it. At the end of a stage the particles are dealt out anew to the bodies of
the next one, with position, velocity, velocity gradient and deformation gradient. The deal is plain indexing of tensors, so
that a gradient goes through it to whatever the earlier stages depend on.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import torch

from pliant.learn.autograd import simulate
from pliant.learn.problem import Values
from pliant.sim.errors import InputError
from pliant.sim.mpm.state import FIELDS
from pliant.sim.rollout import Rollout
from pliant.sim.trajectory import Trajectory

Parts = Mapping[str, Mapping[str, slice | Sequence[int]]]
"""Body -> {body of the stage before: which of its items}; the items come in the order of the sources."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """A rollout that records the full state (record=learn.FIELDS), and where its particles come from.

    `parts` is empty for the first stage, which starts from the values of its model.
    """

    rollout: Rollout
    parts: Parts = dataclasses.field(default_factory=dict)


def regroup(trajectory: Mapping[str, torch.Tensor], parts: Parts, fields: Sequence[str] = FIELDS) -> Values:
    """Arrays [frame, batch, item, ...] of the particles of other bodies, put together from those of a trajectory.

    Errors: `InputError` for a body or field that is not there, or items it does not have.
    """
    made = {}
    for body, sources in parts.items():
        for field in fields:
            taken = [_items(trajectory, f"{source}.{field}", items) for source, items in sources.items()]
            made[f"{body}.{field}"] = torch.cat(taken, dim=2)
    return made


def _items(trajectory: Mapping[str, torch.Tensor], name: str, items: slice | Sequence[int]) -> torch.Tensor:
    if name not in trajectory:
        raise InputError(
            f"stages: expected the stage before to record {name!r}, got {sorted(trajectory)}; build its rollout with "
            f"record={FIELDS}, or correct the name."
        )
    array = torch.as_tensor(trajectory[name])
    if isinstance(items, slice):
        return array[:, :, items]
    index = torch.as_tensor(items, dtype=torch.long)
    count = array.shape[2]
    if len(index) and not (0 <= int(index.min()) and int(index.max()) < count):
        raise InputError(f"stages: expected items of {name!r} from 0 to {count - 1}, got others; correct them.")
    return array[:, :, index]


def simulate_stages(stages: Sequence[Stage], values: Values | None = None) -> list[Trajectory]:
    """The trajectory of every stage, each from the end of the one before; times go on. Differentiable as `simulate` is.

    Args:
        stages: of models with one time step and batch.
        values: parameter name -> tensor, array or number, for every stage whose model has that parameter; a state at the start
            for the first one only.

    Errors: those of `simulate`; `InputError` for time steps that differ, a later stage of which a body is not dealt, or a
        name that no stage has.
    """
    _check(stages, values or {})
    trajectories: list[Trajectory] = []
    step = 0
    for stage in stages:
        known = stage.rollout.model.parameters()
        given = {name: value for name, value in (values or {}).items() if name in known}
        if trajectories:
            begun = {name: array[-1] for name, array in regroup(trajectories[-1], stage.parts).items()}
            given = {n: v for n, v in given.items() if n.rpartition(".")[2] not in FIELDS} | begun
        trajectories.append(simulate(stage.rollout, given, first_step=step))
        step += stage.rollout.steps
    return trajectories


def _check(stages: Sequence[Stage], values: Values) -> None:
    if not stages:
        raise InputError("stages: expected at least one, got none; give them.")
    models = [stage.rollout.model for stage in stages]
    if len({(model.dt, model.batch) for model in models}) > 1:
        raise InputError(
            f"stages: expected one time step and batch, got {sorted({(m.dt, m.batch) for m in models})}; build all models alike."
        )
    for number, (stage, model) in enumerate(zip(stages, models, strict=True)):
        bodies = (
            {n.rpartition(".")[0] for n in model.parameters() if n.endswith(".deformation_gradient")}
            if number
            else set()
        )
        if bodies != set(stage.parts):
            raise InputError(
                f"stages: expected the particles of {sorted(bodies)} in stage {number}, got those of {sorted(stage.parts)}; "
                "deal out every body of a later stage, and none of the first."
            )
    unknown = [name for name in values if not any(name in model.parameters() for model in models)]
    if unknown:
        raise InputError(f"stages: expected names of parameters of some stage, got {unknown}; correct them.")
