"""MPM against trajectories that an independent code produced (float32, one thread)."""

import numpy as np
import pytest

from pliant.sim.materials import DruckerPrager, FixedCorotated, Fluid, VonMises
from tests.mpm_scenes import reference_scene

MATERIALS = {
    "jelly": (FixedCorotated(youngs_modulus=1e5, poissons_ratio=0.2), 1e-11),
    "water": (Fluid(bulk_modulus=1e5 * 0.3 / (1.3 * 0.4), viscosity=0.0), 1e-11),
    "plasticine": (VonMises(youngs_modulus=3e5, poissons_ratio=0.25, yield_stress=5e3), 1e-9),
    "sand": (
        DruckerPrager(youngs_modulus=1e6, poissons_ratio=0.2, friction_angle=np.radians(25.0), cohesion=0.0),
        1e-9,
    ),
}


@pytest.mark.parametrize("name", MATERIALS)
def test_positions_agree_with_an_independent_code(name, reference):
    material, bound = MATERIALS[name]
    data = np.load(reference / "mpm" / f"{name}_vel_seed1.npz")
    model = reference_scene(material).build(dt=5e-4, dtype="float32")
    rollout = model.rollout(600, record_every=50, gradient=False)
    start = {"position": data["x"][0], "velocity": data["v0"], "velocity_gradient": np.zeros((3, 3))}
    trajectory = rollout.forward({f"body.{name}": value for name, value in start.items()})
    frame = list(data["step"]).index(600)
    error = float(((trajectory["body.position"][-1, 0] - data["x"][frame]) ** 2).mean())
    assert error <= bound, f"mean squared position error {error:.1e} at step 600"
