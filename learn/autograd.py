"""Where torch meets Warp: a rollout as an autograd node, and policies in its loop (laws: see `torch_law`).

A node keeps what `sim.Rollout` keeps (checkpoints, never a graph of substeps), so memory is bounded by the rollout's own
setting. With a policy there is one node a control interval; the gradient flows through observation and action.
"""

import dataclasses
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from pliant.learn.curvature import check_weights, hessian_product, refuse_curvature, third_derivative, weights_of
from pliant.learn.tensors import as_action, as_numpy, eagerly, tensors_of, torch_device
from pliant.sim.errors import InputError, named
from pliant.sim.rollout import Rollout
from pliant.sim.status import SimulationError, Status
from pliant.sim.trajectory import Trajectory

Values = Mapping[str, Any]
Action = Mapping[str, torch.Tensor]


class Observation(Mapping):
    """What a policy sees at a control step: "<body>.position" and so on, tensors [batch, ...], and the time [s]."""

    def __init__(self, rollout: Rollout, fields: tuple[torch.Tensor, ...], step: int):
        self._views = rollout.binding.views(dict(zip(rollout.model.state_shapes, fields, strict=True)))
        self.step, self.time = step, step * rollout.model.dt

    def __getitem__(self, name: str) -> torch.Tensor:
        return named(self._views, name, "observation")

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)


Policy = Callable[[Observation], Action]


@eagerly
def simulate(
    rollout: Rollout,
    values: Values | None = None,
    *,
    policy: Policy | None = None,
    truncate_every: int | None = None,
    first_step: int = 0,
    check: bool = True,
) -> Trajectory:
    """The trajectory for parameter values given as tensors; its arrays are tensors [frame, batch, item, ...] with gradients.

    Args:
        rollout: what to run; one forward counts as `rollout.batch` simulator calls, so does its backward.
        values: parameter name -> tensor, array or number (see `model.parameters()` for names, units and shapes).
        policy: called at every control step (`control_every` substeps) with an `Observation`; returns the controls of
            the coming interval: "<body>.activation" [batch, groups] and "<collider>.pose" [batch, 7], the pose to
            reach at its end. One that has a method `begin(episode=...)` is told first whether an episode begins, or, with a
            `first_step`, goes on.
        truncate_every: control steps after which the gradient through the state is cut (truncated backpropagation
            through time). It biases the gradient on purpose, where a chaotic horizon makes the exact one useless.
        first_step: substep at which the run begins, where it continues an earlier one from initial values taken there;
            the times of the frames and of the observations count from it.
        check: False lets one environment of several that fails end alone, as `Rollout.forward` does: it stands still from
            there on with a gradient of zero, and `status.failures` of the trajectory tells where.

    Errors: `InputError` for names and shapes, `SimulationError` when the run fails, and in backward when the gradient is
        not finite. A second derivative is given for a model in float64 without policy and torch laws, by differences of
        gradients (see `learn.curvature`; `torch.autograd.functional.hessian` and `vhp` ask for it), and else refused with a
        sentence.
    """
    given = tensors_of({} if values is None else values, rollout)
    if policy is None:
        arrays, _, trajectory = _run(rollout, given, None, first_step, check=check)
        return Trajectory(times=trajectory.times, arrays=arrays, metadata=trajectory.metadata, status=trajectory.status)
    return _closed_loop(rollout, given, policy, truncate_every, first_step, check)


@eagerly
def linearise(rollout: Rollout, values: Values, directions: Values) -> tuple[Trajectory, dict[str, torch.Tensor]]:
    """The trajectory for parameter values, and its derivatives along directions: name -> [direction, frame, batch, ...].

    Args:
        values: as in `simulate`.
        directions: parameter name -> [direction, *shape of its value]; others do not change.

    Errors: `InputError` for names, shapes and laws given as torch modules, `SimulationError` when the run fails or a
        derivative is not finite.
    """
    given = {name: as_numpy(value) for name, value in tensors_of(values, rollout).items()}
    with rollout.turn:
        plain, device = rollout.forward(given), torch_device(rollout)
        moved = rollout.tangent({name: as_numpy(along) for name, along in tensors_of(directions, rollout).items()})
    arrays = {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in plain.items()}
    tangents = {name: torch.from_numpy(array).to(device) for name, array in moved.items()}
    return Trajectory(times=plain.times, arrays=arrays, metadata=plain.metadata, status=plain.status), tangents


class Simulator(torch.nn.Module):
    """A rollout as a module that counts its simulator calls.

    Args:
        rollout: what to run.
        policy: optional policy in the loop; its parameters are the module's.
        smooth: whether the loss is declared smooth in the unknowns (contact makes it only piecewise so); gradient
            estimators read it.
        truncate_every: see `simulate`.
    """

    def __init__(
        self, rollout: Rollout, policy: Policy | None = None, *, smooth: bool = True, truncate_every: int | None = None
    ):
        super().__init__()
        self.rollout, self.policy, self.smooth, self.truncate_every = rollout, policy, smooth, truncate_every

    def forward(self, values: Values | None = None, first_step: int = 0) -> Trajectory:
        return simulate(
            self.rollout, values, policy=self.policy, truncate_every=self.truncate_every, first_step=first_step
        )

    def linearise(self, values: Values, directions: Values) -> tuple[Trajectory, dict[str, torch.Tensor]]:
        """The trajectory and its derivatives along directions of the values; see `learn.autograd.linearise`."""
        if self.policy is not None:
            raise InputError("linearise: expected a simulator without a policy, got one; use its gradient (Pathwise).")
        return linearise(self.rollout, values, directions)

    @property
    def simulator_calls(self) -> int:
        """Simulations run so far, one for each environment; a backward counts as one more."""
        piece = _PIECES.get(self.rollout)
        pieces = piece.simulator_calls * piece.steps // self.rollout.steps if piece else 0
        return self.rollout.simulator_calls + pieces


class _Node(torch.autograd.Function):
    """One forward run of a rollout: parameter tensors (and a start state) in, recorded frames and final state out."""

    @staticmethod
    def forward(ctx, rollout, *arguments):
        with rollout.turn:
            return _run_node(ctx, rollout, *arguments)

    @staticmethod
    def backward(ctx, *adjoints):
        inputs = ctx.saved_tensors  # refuses what was changed in place since forward, as torch does
        if torch.is_grad_enabled():
            made = _Slope.apply(ctx, len(adjoints), *adjoints, *inputs)
        else:
            made = _slopes(ctx, adjoints, inputs)
        return (None, None, None, None, None, *made)


def _run_node(ctx, rollout, start, options, names, has_state, *tensors):
    """The outputs of a node, whose context keeps what its backward needs."""
    count = len(rollout.model.state_shapes) if has_state else 0
    state = _state(rollout, tensors[:count]) if has_state else None
    values = {name: as_numpy(t) for name, t in zip(names, tensors[count:], strict=False)}
    trajectory = rollout.forward(values, state=state, **options)
    if not rollout.last.completed:
        raise SimulationError(trajectory.status)
    ctx.rollout, ctx.record, ctx.names, ctx.has_state = rollout, rollout.last, names, has_state
    ctx.weights = [(law, weights_of(law)) for law in rollout.binding.external_laws]
    ctx.save_for_backward(*tensors)
    start.append(trajectory)
    ctx.outputs = [name for name in trajectory if not name.endswith(".pose")]
    device = torch_device(rollout)
    arrays = [torch.from_numpy(np.ascontiguousarray(trajectory[name])).to(device) for name in ctx.outputs]
    final = [torch.from_numpy(a).to(device) for a in rollout.final_state().arrays().values()]
    return (*arrays, *final)


class _Slope(torch.autograd.Function):
    """The gradients of a node where they may be differentiated again: of its adjoints and its inputs."""

    @staticmethod
    def forward(ctx, node, count, *tensors):
        ctx.node, ctx.count = node, count
        ctx.save_for_backward(*tensors)
        return tuple(_slopes(node, tensors[:count], tensors[count:]))

    @staticmethod
    def backward(ctx, *directions):
        node, recorded = ctx.node, len(ctx.node.outputs)
        refuse_curvature(node, final=any(ctx.needs_input_grad[2 + recorded : 2 + ctx.count]))
        made = _Curve.apply(ctx, len(directions), *directions, *map(_Guard.apply, ctx.saved_tensors))
        return (None, None, *made)


class _Curve(torch.autograd.Function):
    """(J v, H v) of a node for directions v of its inputs: what a second derivative passes back to adjoints and inputs."""

    @staticmethod
    def forward(ctx, slope, count, *tensors):
        node, recorded, saved = slope.node, len(slope.node.outputs), tensors[count:]
        ctx.slope, ctx.like = slope, tensors
        ctx.seeds = dict(zip(node.outputs, map(as_numpy, saved[:recorded]), strict=True))
        along = dict(zip(node.names, map(as_numpy, tensors[:count]), strict=True))
        bent = hessian_product(node.rollout, node.record, ctx.seeds, along)
        moved: dict[str, np.ndarray] = {}
        if any(slope.needs_input_grad[2 : 2 + recorded]):
            moved = node.rollout.tangent({n: v[None] for n, v in along.items()}, record=node.record)
        made = [
            moved[n][0] if n in moved else np.zeros(tuple(t.shape)) for n, t in zip(node.outputs, saved, strict=False)
        ]
        rest = [np.zeros(tuple(t.shape)) for t in saved[recorded : slope.count]]
        made += [*rest, *(bent[name] for name in node.names)]
        return tuple(_like(array, tensor) for array, tensor in zip(made, saved, strict=True))

    @staticmethod
    def backward(ctx, *adjoints):
        """J^T a + H u, since H is symmetric; the guards tell where more is asked for."""
        node, count = ctx.slope.node, len(ctx.slope.node.names)
        if torch.is_grad_enabled():
            raise third_derivative()
        given = dict(zip(node.outputs, map(as_numpy, adjoints), strict=False))
        along = dict(zip(node.names, map(as_numpy, adjoints[-count:]), strict=True))
        bent = hessian_product(node.rollout, node.record, ctx.seeds, along)
        if any(a.any() for a in given.values()):
            slopes = node.rollout.backward(given, record=node.record, names=node.names)
            bent = {name: array + slopes[name] for name, array in bent.items()}
        made = [_like(bent[name], tensor) for name, tensor in zip(node.names, ctx.like, strict=False)]
        return (None, None, *made, *map(torch.zeros_like, ctx.like[count:]))


class _Guard(torch.autograd.Function):
    """What a third derivative would have to pass."""

    @staticmethod
    def forward(ctx, tensor):
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx, adjoint):
        raise third_derivative()


def _slopes(ctx, adjoints, inputs) -> list[torch.Tensor]:
    """The gradient of a node with respect to each of its inputs."""
    rollout, count = ctx.rollout, len(ctx.outputs)
    check_weights(ctx.weights)
    seeds = {n: as_numpy(a) for n, a in zip(ctx.outputs, adjoints[:count], strict=True) if a is not None}
    final = _state(rollout, adjoints[count:])
    laws = rollout.binding.external_laws
    with rollout.turn:
        gradients = rollout.backward(seeds, record=ctx.record, final=final, names=ctx.names)
        of_laws = [g for law in laws for g in law.gradients]
    by_input = list(gradients.state.arrays().values()) if ctx.has_state else []
    by_input += [gradients[name] for name in ctx.names]
    made = [torch.as_tensor(g) for g in by_input] + of_laws
    return [_like(g, t) for g, t in zip(made, inputs, strict=True)]


def _like(array: Any, tensor: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(array).to(device=tensor.device, dtype=tensor.dtype).reshape(tensor.shape)


def _run(
    rollout: Rollout, given: Values, state: tuple | None, first_step: int, **options: Any
) -> tuple[dict, tuple, Trajectory]:
    """Recorded arrays, final state and the plain trajectory of one node."""
    box: list[Trajectory] = []
    weights = [w for law in rollout.binding.external_laws for w in law.parameters()]
    inputs = (*(state or ()), *given.values(), *weights)
    options["first_step"] = first_step
    outputs = _Node.apply(rollout, box, options, tuple(given), state is not None, *inputs)
    trajectory = box[0]
    names = [name for name in trajectory if not name.endswith(".pose")]
    arrays = dict(zip(names, outputs, strict=False))
    device = torch_device(rollout)
    poses = {n: torch.from_numpy(trajectory[n]).to(device) for n in trajectory if n.endswith(".pose")}
    return {**arrays, **poses}, outputs[len(names) :], trajectory


def _closed_loop(
    rollout: Rollout,
    given: dict[str, torch.Tensor],
    policy: Policy,
    truncate_every: int | None,
    first_step: int,
    check: bool,
) -> Trajectory:
    """One node a control interval, the policy between them."""
    every, record_every = rollout.control_every, rollout.record_every
    if rollout.record_to is not None:
        raise InputError(
            f"policy: expected a rollout that records into memory, got record_to={str(rollout.record_to)!r}; leave it out "
            "and save the trajectory."
        )
    if rollout.steps % every or (every % record_every and record_every % every):
        raise InputError(
            f"policy: expected steps ({rollout.steps}) to be a multiple of control_every ({every}), and record_every "
            f"({record_every}) to divide or be a multiple of it; choose other numbers."
        )
    piece = _piece(rollout)
    begin = getattr(policy, "begin", None)
    if callable(begin):
        begin(episode=first_step == 0)
    state, initial = _initial(rollout, given)
    constant = {n: v for n, v in given.items() if n not in initial}
    knots = _first_knots(rollout, constant)
    parts: list[dict[str, torch.Tensor]] = []
    last: list[Trajectory] = []
    status, ended = Status(), list[Status]()
    for step in range(0, rollout.steps, every):
        if truncate_every and step and step // every % truncate_every == 0:
            state = tuple(field.detach() for field in state)
        action = policy(Observation(rollout, state, first_step + step))
        controls = _controls(rollout, action, knots)
        try:
            options = {"check": check, "without": [e for s in ended if (e := s.environment) is not None]}
            arrays, state, plain = _run(piece, {**constant, **controls}, state, first_step + step, **options)
        except SimulationError as error:
            raise SimulationError(_shifted(error.status, first_step + step)) from None
        ended += [_shifted(failure, first_step + step) for failure in plain.status.failures]
        last, status = [plain], plain.status.after(status)
        parts.append(arrays if not parts else {n: a[1:] for n, a in arrays.items()})
    status = dataclasses.replace(Status.of(ended, rollout.batch), warnings=status.warnings)
    return dataclasses.replace(_joined(rollout, parts, last[0], first_step), status=status)


def _joined(rollout: Rollout, parts: list[dict[str, torch.Tensor]], last: Trajectory, first_step: int) -> Trajectory:
    """The whole trajectory, thinned to the rollout's own frames."""
    piece = _piece(rollout)
    steps = [0] + [s + f for s in range(0, rollout.steps, piece.steps) for f in piece.frame_steps[1:]]
    wanted = set(rollout.frame_steps)
    keep = [index for index, step in enumerate(steps) if step in wanted]
    arrays = {name: torch.cat([part[name] for part in parts])[keep] for name in parts[0]}
    times = (first_step + np.asarray(steps)[keep]) * rollout.model.dt
    metadata = {**last.metadata, "steps": rollout.steps}
    return Trajectory(times=times, arrays=arrays, metadata=metadata, status=last.status)


def _shifted(status: Status, step: int) -> Status:
    message = status.message.replace(f"at substep {status.step})", f"at substep {status.step + step})")
    failures = tuple(_shifted(failure, step) for failure in status.failures)
    return dataclasses.replace(status, step=status.step + step, message=message, failures=failures)


_PIECES: weakref.WeakKeyDictionary[Rollout, Rollout] = weakref.WeakKeyDictionary()


def _piece(rollout: Rollout) -> Rollout:
    """A rollout of one control interval of the same model, made once."""
    if rollout not in _PIECES:
        every = rollout.control_every
        _PIECES[rollout] = rollout.model.rollout(
            every,
            record_every=min(every, rollout.record_every),
            control_every=every,
            record=rollout.record,
            checkpoint_every=min(every, rollout.segment),
            gradient=rollout.gradient,
            metadata=rollout.metadata,
        )
    return _PIECES[rollout]


def _initial(rollout: Rollout, given: dict[str, torch.Tensor]) -> tuple[tuple[torch.Tensor, ...], set[str]]:
    """The start state as tensors, and the names of its parts; initial values given as tensors keep their gradient."""
    with rollout.turn:
        rollout.binding.set({})
        plain, device = rollout.binding.initial_state(), torch_device(rollout)
    views = rollout.binding.views({n: torch.from_numpy(a).to(device) for n, a in plain.arrays().items()})
    for name in views.keys() & given.keys():
        parameter = rollout.model.parameters()[name]
        aligned = parameter.aligned(as_numpy(given[name])).shape
        views[name] = given[name].to(views[name]).reshape(aligned).expand(parameter.shape)
    return tuple(rollout.binding.unite(views, torch.cat).values()), set(views)


def _state(rollout: Rollout, tensors: Iterable[torch.Tensor]) -> Any:
    """The state of tensors in the order of its arrays."""
    return rollout.model.make_state(dict(zip(rollout.model.state_shapes, map(as_numpy, tensors), strict=True)))


def _first_knots(rollout: Rollout, constant: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Pose [batch, 7] of every collider at the start, where there are any."""
    parameters, knots = rollout.model.parameters(), {}
    for name in (n for n in parameters if n.endswith(".pose")):
        value = constant.pop(name, None)
        full = torch.as_tensor(
            parameters[name].expand(as_numpy(value)) if value is not None else parameters[name].value
        )
        knots[name] = full[:, 0].to(torch_device(rollout))
    return knots


def _controls(rollout: Rollout, action: Action, knots: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The controls of one interval as parameter values: activations [batch, 1, groups] and two pose knots."""
    controls = {}
    for name, value in as_action(action, rollout).items():
        if name in knots:
            controls[name] = torch.stack([knots[name].to(value), value], dim=1)
            knots[name] = value
        else:
            controls[name] = value.unsqueeze(1)
    return controls
