"""The nonlinear term of an active fluid: closure, Stokes flow, transport of the moments; and the adjoint of the three."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from pliant.sim.spectral.active.closures import Closure, Projection, outside_count, real_product
from pliant.sim.spectral.active.hierarchy import Moments, Pulled, pack, rates, rates_vjp, unpack
from pliant.sim.spectral.active.limit import Excess, Limit
from pliant.sim.spectral.active.stokes import OUTER_STEPS, Stokes
from pliant.sim.spectral.arrays import complex_of
from pliant.sim.spectral.rate import Rate
from pliant.sim.spectral.transform import Transform
from pliant.sim.status import Code, Status

if TYPE_CHECKING:
    from pliant.sim.spectral.binding import SpectralBinding
    from pliant.sim.spectral.model import SpectralModel


@dataclasses.dataclass
class StressGradients:
    """Gradients of a function of the stress by c, psi_2, psi_4, e and the parameters, on the points."""

    c: Any
    psi2: Any
    psi4: Any
    e: Any
    parameters: dict[str, Any]


class ActiveRate(Rate):
    """Of an equation with moments psi_0 ... psi_2K: `closure` gives psi_4 where K is 1, else psi_4 is among them.

    With a closure that sees the strain rate, closure and flow are solved together: g is found for the psi_4 of the g before,
    until it no longer changes; the adjoint solves the transposed system in the same way. `unrealisable` counts points.

    The flow is no linear function of the state, so that the limit on dt is held here and not by the rows of `Equation.speeds`.
    Once it is exceeded the rate is zero, which keeps the state finite until the next look ends the run.
    """

    def __init__(
        self, model: "SpectralModel", binding: "SpectralBinding", transform: Transform, closure: Closure | None
    ):
        super().__init__(model, binding, transform)
        self.inputs += 1  # g is kept with the fields, for the adjoint
        self.closure, self.xp, self.spacing = closure, model.arrays, transform.grid.spacing
        self.stokes = Stokes(model, transform)
        orders = np.arange(1, 1 + model.components // 2, dtype=model.precision.numpy)
        self._orders = model.arrays.load(orders.reshape(-1, 1, 1, 1))
        self._complex = complex_of(model.precision)
        self._limit = Limit(model, len(orders))
        self.begin()

    def begin(self) -> None:
        self.unrealisable, self._stalled = 0, False
        self._evaluations = 0
        self._excess: Excess | None = None

    def status(self, step: int) -> Status:
        evaluations, self._evaluations = self._evaluations, 0
        if self._excess is not None:
            return self._excess.status(self.model, step, evaluations)
        if self._stalled:
            sentence = (
                f"the Stokes flow of '{self.model.name}' did not converge, as where fields blow up; lower `dt`, or `constraint` "
                f"(at substep {step})."
            )
            return Status(Code.NOT_CONVERGED, step, 0, f"{self.model.name}.order", sentence)
        if not self.unrealisable:
            return Status()
        consequence = (
            "where the distribution is negative somewhere: raise `directions` or the resolution"
            if self.closure is None
            else "where the closure saw its projection"
        )
        return Status(
            item=f"{self.model.name}.order",
            message=f"completed; the second moment left the realisable set {self.unrealisable} times (points and "
            f"evaluations together), {consequence}.",
        )

    def solve(self, psi: Any) -> tuple[Any, Any]:
        """psi_4 and the g of the Stokes flow that belong to psi_0, psi_2, ... [1 + K, batch, *points]."""
        if self.closure is None:
            self.unrealisable += outside_count(psi[0].real, psi[1])
            return psi[2], self._linear(psi, psi[2], None)
        seen = Projection.of(self.xp, psi[0].real, psi[1])
        self.unrealisable += seen.count
        psi4 = self.closure.evaluate(self.xp, seen.c, seen.psi2, 0.0 * psi[1], self.spacing)
        g = self._linear(psi, psi4, None)
        if self.closure.uses_strain:
            g, psi4 = self._together(self.closure, psi, seen, g)
        return psi4, g

    def evaluate(self, state: Any, source: Any, fields: Any, out: Any) -> None:
        moments = Moments.of(self.xp, self._gather.to_points(state, fields[:-1]), self._complex)
        psi4, g = self.solve(moments.psi)
        self.stokes.write(g, fields[-1])
        flow, zeta = self.stokes.flow(g), self.binding.points["alignment"]
        if self._too_fast(flow, flow[3] + zeta * moments.psi[1]):
            out[...] = 0.0
            return
        top = None if self.closure is None else psi4
        made = self._made[: self.products]
        unpack(rates(self.xp, moments, top, flow, zeta, self._orders), made)
        self._scatter.from_points(made, out)

    def _too_fast(self, flow: tuple, turn: Any) -> bool:
        """Whether dt is, or was at an earlier evaluation, too long for the flow."""
        if self._excess is None:
            diffusivity = self.binding.points["rotational_diffusivity"]
            self._excess = self._limit.excess(self.xp, flow, turn, diffusivity, self._evaluations)
        self._evaluations += 1
        return self._excess is not None

    def pull_back(self, fields: Any, adjoint: Any, state: Any, *, add: bool) -> None:
        moments = Moments.of(self.xp, fields[:-1], self._complex)
        bar = pack(self.xp, self._scatter_vjp.to_points(adjoint, self._seeds), self._complex)
        flow, zeta = self.stokes.flow(self.stokes.read(fields[-1])), self.binding.points["alignment"]
        seen, psi4, pull = self._linearised(moments.psi, flow[3])
        pulled = rates_vjp(self.xp, moments, None if pull is None else psi4, flow, zeta, self._orders, bar)
        self._through_flow(moments.psi, seen, psi4, pull, flow[3], pulled)
        count = self.products
        made = self._made[: 3 * count]
        for index, part in enumerate((pulled.moments.psi, pulled.moments.x, pulled.moments.y)):
            unpack(part, made[index * count : (index + 1) * count])
        self._gather_vjp.from_points(made, state, add=add)

    def stress(self, psi: Any, psi4: Any, e: Any) -> Any:
        """sigma (complex) of the moments and the strain rate; None for e leaves its part out."""
        p, conj = self.binding.points, self.xp.conj
        passive = 0.25 * p["alignment"] * p["constraint"] * (psi[0] * psi[1] - psi4 * conj(psi[1]))
        made = 0.5 * p["activity"] * psi[1] - passive
        return made if e is None else made + 0.25 * p["constraint"] * (psi[0] * e + psi4 * conj(e))

    def stress_vjp(self, psi: Any, psi4: Any, e: Any, bar: Any) -> StressGradients:
        """Gradients of the sum of Re(conj(bar) sigma)."""
        p, conj = self.binding.points, self.xp.conj
        alpha, beta, zeta = p["activity"], p["constraint"], p["alignment"]
        align, stretch = 0.25 * zeta * beta, 0.25 * beta
        by_passive = real_product(psi[0] * psi[1] - psi4 * conj(psi[1]), bar)
        by_stretch = real_product(psi[0] * e + psi4 * conj(e), bar)
        by_beta = 0.25 * (by_stretch - zeta * by_passive)
        parameters = {
            "activity": 0.5 * real_product(psi[1], bar), "constraint": by_beta, "alignment": -0.25 * beta * by_passive
        }  # fmt: skip
        return StressGradients(
            c=stretch * real_product(e, bar) - align * real_product(psi[1], bar),
            psi2=0.5 * alpha * bar - align * (psi[0].real * bar - psi4 * conj(bar)),
            psi4=stretch * bar * e + align * bar * psi[1],
            e=stretch * (psi[0].real * bar + psi4 * conj(bar)),
            parameters=parameters,
        )

    def _linear(self, psi: Any, psi4: Any, start: Any) -> Any:
        """g for a given psi_4."""
        right = -0.5 * self.stokes.project(self.stress(psi, psi4, None))
        return self._solved(right, psi[0].real, psi4, right if start is None else start)

    def _solved(self, right: Any, c: Any, psi4: Any, start: Any) -> Any:
        g, converged = self.stokes.solve(right, self.binding.points["constraint"], c, psi4, start)
        self._stalled |= not converged
        return g

    def _together(self, closure: Closure, psi: Any, seen: Projection, g: Any) -> tuple[Any, Any]:
        """g and psi_4 that belong to each other."""
        for _ in range(OUTER_STEPS):
            psi4 = closure.evaluate(self.xp, seen.c, seen.psi2, self.stokes.strain(g), self.spacing)
            before, g = g, self._linear(psi, psi4, g)
            if self.stokes.close(g, before):
                return g, psi4
        self._stalled = True
        return g, psi4

    def _linearised(self, psi: Any, e: Any) -> tuple[Projection, Any, Any]:
        """What the closure saw, its psi_4, and its vector-Jacobian product (None without a closure)."""
        if self.closure is None:
            return Projection(psi[0].real, psi[1], 0), psi[2], None
        seen = Projection.of(self.xp, psi[0].real, psi[1])
        return seen, *self.closure.linearise(self.xp, seen.c, seen.psi2, e, self.spacing)

    def _through_flow(self, psi: Any, seen: Projection, psi4: Any, pull: Any, e: Any, pulled: Pulled) -> None:
        """Take the gradients by flow and psi_4 in `pulled` to those by the moments and by parameters."""
        coupled = self.closure is not None and self.closure.uses_strain
        by_u, by_v, by_w, by_e = pulled.flow
        if coupled:
            by_e = by_e + pull(pulled.top, weights=False)[2]
        right = self.stokes.flow_vjp(by_u, by_v, by_w, by_e)
        adjoint = self._solved(right, psi[0].real, psi4, right)
        stress = self.stress_vjp(psi, psi4, e, -0.5 * self.stokes.strain(adjoint))
        for _ in range(OUTER_STEPS if coupled else 0):
            more = right + self.stokes.project(pull(stress.psi4, weights=False)[2])
            before, adjoint = adjoint, self._solved(more, psi[0].real, psi4, adjoint)
            stress = self.stress_vjp(psi, psi4, e, -0.5 * self.stokes.strain(adjoint))
            if self.stokes.close(adjoint, before):
                break
        self._spread(stress, seen, pull, pulled)

    def _spread(self, stress: StressGradients, seen: Projection, pull: Any, pulled: Pulled) -> None:
        """Add gradients by the stress to those by the moments, through the closure where there is one."""
        by_psi = pulled.moments.psi
        by_psi[0] += stress.c
        by_psi[1] += stress.psi2
        if pull is None:
            by_psi[2] += stress.psi4
        else:
            by_c, by_psi2, _ = pull(pulled.top + stress.psi4, weights=True)
            by_c, by_psi2 = seen.pull(self.xp, by_c, by_psi2)
            by_psi[0] += by_c
            by_psi[1] += by_psi2
        stress.parameters["alignment"] = stress.parameters["alignment"] + pulled.zeta
        self.binding.add_products(stress.parameters)
