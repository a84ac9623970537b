"""Every kernel of the MPM solver in one list, for compiling ahead of time and for counting registers."""

import warp as wp

from pliant.sim import materials
from pliant.sim.colliders.kinematics import kinematics
from pliant.sim.materials import Material
from pliant.sim.mpm.constitutive import law_kernels
from pliant.sim.mpm.grid import grid_update
from pliant.sim.mpm.memory import memory_kernels
from pliant.sim.mpm.muscle import muscle_kernels
from pliant.sim.mpm.nearby import nearby_kernels
from pliant.sim.mpm.pressure import pressure_kernels
from pliant.sim.mpm.rubbing import rubbing_kernels
from pliant.sim.mpm.tangent.grid import grid_tangents
from pliant.sim.mpm.tangent.laws import law_tangents, muscle_tangent
from pliant.sim.mpm.tangent.memory import memory_tangents
from pliant.sim.mpm.tangent.pressure import pressure_tangents
from pliant.sim.mpm.tangent.touch import touch_tangents
from pliant.sim.mpm.tangent.transfers import transfer_tangents
from pliant.sim.mpm.touch import touch_kernels
from pliant.sim.mpm.transfers import transfers
from pliant.sim.precision import Precision

LAWS: tuple[type[Material], ...] = tuple(
    law
    for law in vars(materials).values()
    if isinstance(law, type) and issubclass(law, Material) and law is not Material
)


def all_kernels(p: Precision, laws: tuple[type[Material], ...] = LAWS) -> list[wp.Kernel]:
    """Transfers, grid, motion of colliders, contact, muscles, the kernels of each law, and the tangents of all, in one precision."""
    groups = [transfers(p), grid_update(p), kinematics(p), muscle_kernels(p), *(law_kernels(law, p) for law in laws)]
    groups += [nearby_kernels(p), touch_kernels(p), rubbing_kernels(p), touch_tangents(p)]
    groups += [pressure_kernels(p), pressure_tangents(p), memory_kernels(p), memory_tangents(p)]
    groups += [transfer_tangents(p), grid_tangents(p), (muscle_tangent(p),), *(law_tangents(law, p) for law in laws)]
    return [kernel for group in groups for kernel in group if kernel is not None]
