"""Time integrators of du/dt = L u + N(u) with diagonal L, each as a short table of functions of z = h L.

A step evaluates N at stages U_0 = u, U_1, ..., every one a sum of coefficient * source; sources are "u", the stages' "N0",
"N1", ..., and what a multistep method keeps: "u1", "u2", ... (the state one, two steps ago) and "M1", "M2", ... (its N).
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from pliant.sim.errors import InputError
from pliant.sim.spectral.functions import Function, constant, phi, variable

Sum = Mapping[str, Function]


@dataclasses.dataclass(frozen=True)
class Table:
    """Stages after U_0 and the result, as sums over sources; `h` multiplies every N already."""

    stages: tuple[Sum, ...]
    result: Sum


@dataclasses.dataclass(frozen=True)
class Integrator:
    """A method by name: its order, number of evaluations of N a step, and table.

    `history` are the sources a multistep method keeps, each with the source it is set to after a step. Until it has
    them, `starter` steps in its place. `reach` is how far along the imaginary axis, where advection puts them, eigenvalues of
    h dN/du may lie before a mode that nothing damps would double in a step.
    """

    name: str
    order: int
    evaluations: int
    table: Callable[[np.ndarray, float], Table]
    reach: float
    history: tuple[tuple[str, str], ...] = ()
    starter: str = ""

    @property
    def first_steps(self) -> int:
        """Steps that the starter takes."""
        return sum(source.startswith("u") for source, _ in self.history)


def etdrk1(z: np.ndarray, h: float) -> Table:
    """Exponential Euler."""
    return Table((), {"u": phi(0, z), "N0": h * phi(1, z)})


def etdrk2(z: np.ndarray, h: float) -> Table:
    """Cox and Matthews, Exponential time differencing for stiff systems, J. Comput. Phys. 176 (2002), eq. 22."""
    e, f1, f2 = phi(0, z), h * phi(1, z), h * phi(2, z)
    return Table(({"u": e, "N0": f1},), {"u": e, "N0": f1 - f2, "N1": f2})


def etdrk3(z: np.ndarray, h: float) -> Table:
    """Cox and Matthews (2002), eqs. 23-25."""
    e, half, f1, f2, f3 = phi(0, z), phi(0, z, 0.5), h * phi(1, z), h * phi(2, z), h * phi(3, z)
    q = 0.5 * h * phi(1, z, 0.5)
    return Table(
        ({"u": half, "N0": q}, {"u": e, "N0": -1.0 * f1, "N1": 2.0 * f1}),
        {"u": e, "N0": f1 - 3.0 * f2 + 4.0 * f3, "N1": 4.0 * f2 - 8.0 * f3, "N2": 4.0 * f3 - f2},
    )


def etdrk4(z: np.ndarray, h: float) -> Table:
    """Cox and Matthews (2002), eqs. 26-29."""
    e, half, f1, f2, f3 = phi(0, z), phi(0, z, 0.5), h * phi(1, z), h * phi(2, z), h * phi(3, z)
    q = 0.5 * h * phi(1, z, 0.5)
    middle = 2.0 * f2 - 4.0 * f3
    return Table(
        ({"u": half, "N0": q}, {"u": half, "N1": q}, {"u": e, "N0": (half - 1.0) * q, "N2": 2.0 * q}),
        {"u": e, "N0": f1 - 3.0 * f2 + 4.0 * f3, "N1": middle, "N2": middle, "N3": 4.0 * f3 - f2},
    )


_EXPLICIT = (
    (1 / 2,),
    (13861 / 62500, 6889 / 62500),
    (-116923316275 / 2393684061468, -2731218467317 / 15368042101831, 9408046702089 / 11113171139209),
    (-451086348788 / 2902428689909, -2682348792572 / 7519795681897, 12662868775082 / 11960479115383,
     3355817975965 / 11060851509271),
    (647845179188 / 3216320057751, 73281519250 / 8382639484533, 552539513391 / 3454668386233,
     3354512671639 / 8306763924573, 4040 / 17871),
)  # fmt: skip
_IMPLICIT = (
    (1 / 4,),
    (8611 / 62500, -1743 / 31250),
    (5012029 / 34652500, -654441 / 2922500, 174375 / 388108),
    (15267082809 / 155376265600, -71443401 / 120774400, 730878875 / 902184768, 2285395 / 8070912),
    (82889 / 524892, 0.0, 15625 / 83664, 69875 / 102672, -2260 / 8211),
)
_DIAGONAL = 1 / 4


def imexrk4(z: np.ndarray, h: float) -> Table:
    """ARK4(3)6L[2]SA: N explicit, L by a stiffly accurate singly diagonally implicit method.

    As L is diagonal, every stage solves to a sum of rational functions of z times u and the N's.

    Source: Kennedy and Carpenter, Additive Runge-Kutta schemes for convection-diffusion-reaction equations, Appl. Numer.
    Math. 44 (2003), appendix C.
    """
    x, solve = variable(z), _inverse(1.0 / _DIAGONAL, z) * (1.0 / _DIAGONAL)
    states: list[Sum] = [{"u": constant(1.0)}]
    for explicit, implicit in zip(_EXPLICIT, _IMPLICIT, strict=True):
        made = _weighted(states, x, h, explicit, implicit)
        states.append({source: solve * factor for source, factor in made.items()})
    result = dict(states[-1])  # its implicit weights are those of the last stage
    for j, (b, a) in enumerate(zip((*_IMPLICIT[-1], _DIAGONAL), (*_EXPLICIT[-1], 0.0), strict=True)):
        _accumulate(result, {f"N{j}": constant((b - a) * h)})
    return Table(tuple(states[1:]), result)


def _weighted(
    states: list[Sum], x: Function, h: float, explicit: tuple[float, ...], implicit: tuple[float, ...]
) -> dict[str, Function]:
    """u + sum over stages j of explicit_j h N_j + implicit_j z U_j, as a sum over sources."""
    made = {"u": constant(1.0)}
    for j, (a, b) in enumerate(zip(explicit, implicit, strict=True)):
        _accumulate(made, {f"N{j}": constant(a * h)})
        _accumulate(made, {source: b * x * factor for source, factor in states[j].items()})
    return made


def _accumulate(total: dict[str, Function], part: Mapping[str, Function]) -> None:
    for source, function in part.items():
        total[source] = total[source] + function if source in total else function


def sbdf1(z: np.ndarray, h: float) -> Table:
    """Euler, implicit in L and explicit in N."""
    solve = _inverse(1.0, z)
    return Table((), {"u": solve, "N0": h * solve})


def sbdf2(z: np.ndarray, h: float) -> Table:
    """Ascher, Ruuth and Wetton, Implicit-explicit methods for time-dependent PDEs, SIAM J. Numer. Anal. 32 (1995), eq. 19."""
    solve = _inverse(1.5, z)
    return Table((), {"u": 2.0 * solve, "u1": -0.5 * solve, "N0": 2.0 * h * solve, "M1": -h * solve})


def sbdf3(z: np.ndarray, h: float) -> Table:
    """Ascher, Ruuth and Wetton (1995), eq. 25. For what diffuses: it makes waves grow that nothing damps, see `stability`."""
    solve = _inverse(11.0 / 6.0, z)
    past = {"u": 3.0 * solve, "u1": -1.5 * solve, "u2": 1.0 / 3.0 * solve}
    return Table((), {**past, "N0": 3.0 * h * solve, "M1": -3.0 * h * solve, "M2": h * solve})


def _inverse(leading: float, z: np.ndarray) -> Function:
    """1 / (leading - z)."""
    value = 1.0 / (leading - z)
    return Function(value, value**2)


_KNOWN = (
    Integrator("ETDRK1", 1, 1, etdrk1, 1.73),
    Integrator("ETDRK2", 2, 2, etdrk2, 1.86),
    Integrator("ETDRK3", 3, 3, etdrk3, 2.45),
    Integrator("ETDRK4", 4, 4, etdrk4, 3.13),
    Integrator("IMEXRK4", 4, 6, imexrk4, 4.27),
    Integrator("SBDF1", 1, 1, sbdf1, 1.73),
    Integrator("SBDF2", 2, 1, sbdf2, 1.39, (("u1", "u"), ("M1", "N0")), "ETDRK2"),
    Integrator("SBDF3", 3, 1, sbdf3, 1.21, (("u1", "u"), ("u2", "u1"), ("M1", "N0"), ("M2", "M1")), "ETDRK3"),
)
INTEGRATORS = {method.name: method for method in _KNOWN}


def find_integrator(name: str) -> Integrator:
    """The integrator of that name; `InputError` for another."""
    if not isinstance(name, str) or name not in INTEGRATORS:
        raise InputError(f"integrator: expected one of {list(INTEGRATORS)}, got {name!r}; choose one of them.")
    return INTEGRATORS[name]
