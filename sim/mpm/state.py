"""The state of the material points of all bodies, and the arrays that hold many of them in time."""

import dataclasses

import numpy as np
import warp as wp

from pliant.sim.precision import Precision

FIELDS = ("position", "velocity", "velocity_gradient", "deformation_gradient")
SHAPES = {"position": (3,), "velocity": (3,), "velocity_gradient": (3, 3), "deformation_gradient": (3, 3)}
SCALARS = 24  # numbers a particle


@dataclasses.dataclass
class State:
    """One instant: position [P, 3] m, velocity [P, 3] m/s, velocity gradient [P, 3, 3] 1/s, deformation gradient [P, 3, 3].

    P counts every body, environment and particle, in that order. NumPy arrays.
    """

    position: np.ndarray
    velocity: np.ndarray
    velocity_gradient: np.ndarray
    deformation_gradient: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, name) for name in FIELDS}

    @staticmethod
    def zeros(particles: int, dtype: type) -> "State":
        return State(**{name: np.zeros((particles, *SHAPES[name]), dtype) for name in FIELDS})


class StateArray:
    """`slots` states one after the other in device memory; slot s of a field starts at s * particles."""

    def __init__(self, particles: int, slots: int, p: Precision, device: wp.Device):
        self.particles, self.slots = particles, slots
        kinds = {"position": p.vec3, "velocity": p.vec3, "velocity_gradient": p.mat33, "deformation_gradient": p.mat33}
        self.fields = {n: wp.empty(particles * slots, dtype=k, device=device) for n, k in kinds.items()}

    def copy(self, slot: int, source: "StateArray", source_slot: int) -> None:
        """Copy one state of another array into a slot."""
        n = self.particles
        for name, array in self.fields.items():
            wp.copy(array, source.fields[name], dest_offset=slot * n, src_offset=source_slot * n, count=n)

    def write(self, slot: int, state: State) -> None:
        for name, value in state.arrays().items():
            array = self.fields[name]
            source = wp.array(np.ascontiguousarray(value), dtype=array.dtype, device="cpu")
            wp.copy(array, source, dest_offset=slot * self.particles, count=self.particles)

    def read(self, slot: int) -> State:
        n = self.particles
        return State(**{name: a[slot * n : (slot + 1) * n].numpy().copy() for name, a in self.fields.items()})
