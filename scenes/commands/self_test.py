"""A gradient check of a few seconds, run by `pliant doctor` on any machine."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from sim.rollout import Rollout

STEPS = 20
TOLERANCE = 1e-6  # central differences in float64 with a relative step of 1e-5 leave about 1e-8


def gradient_errors(*, device: str) -> dict[str, float]:
    """Relative error of the gradient of each probed parameter along a random direction."""
    import numpy as np

    rng = np.random.default_rng(0)
    rollout = probe(device=device)
    frames = rollout.forward()["probe.position"]
    adjoint = np.zeros_like(frames)
    adjoint[-1] = rng.standard_normal(frames[-1].shape)
    gradients = rollout.backward({"probe.position": adjoint})
    parameters = rollout.model.parameters()
    errors = {}
    for name in ("probe.youngs_modulus", "probe.velocity"):
        value = np.array(parameters[name].value, dtype=np.float64)
        direction = rng.standard_normal(value.shape) * max(1.0, float(np.abs(value).max()))
        expected = finite_difference(rollout, name, value, direction, adjoint)
        errors[name] = abs(float(np.sum(gradients[name] * direction)) - expected) / abs(expected)
    return errors


def probe(*, device: str) -> "Rollout":
    """A cube of 64 particles that slides on a rough floor, in float64."""
    import sim
    from sim import materials, shapes

    scene = sim.Scene(gravity=(0, 0, -9.81))
    scene.add_mpm(
        shapes.Box(0.1, center=(0, 0, 0.05)),
        materials.FixedCorotated(youngs_modulus=1e5, poissons_ratio=0.3),
        density=1000.0,
        spacing=0.025,
        velocity=(1.0, 0.5, -1.0),
        name="probe",
    )
    scene.add_collider(shapes.Plane(), friction=0.4)
    return scene.build(dt=2e-4, device=device, dtype="float64").rollout(steps=STEPS, record_every=STEPS)


def finite_difference(
    rollout: "Rollout", name: str, value: "np.ndarray", direction: "np.ndarray", adjoint: "np.ndarray"
) -> float:
    """Central difference of sum(adjoint * position) along a direction of one parameter."""
    step = 1e-5
    above = rollout.forward({name: value + step * direction})["probe.position"]
    below = rollout.forward({name: value - step * direction})["probe.position"]
    return float((adjoint * (above - below)).sum()) / (2 * step)
