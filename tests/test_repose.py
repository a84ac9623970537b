"""The slope at which sand comes to rest, from the yield cone, from the solver and from experiments.

The law's cone meets the friction angle phi of triaxial compression: sqrt(3 J2) = M p, M = 6 sin(phi) / (3 - sin(phi)).
On a long slope of angle t, equilibrium asks for the ratio tan(t) of shear to normal stress on planes along the slope,
whatever the depth. Strain there is shear along these planes. It turns the plastic strain rate, hence (the flow keeps the
volume and is coaxial) the deviatoric stress, towards pure shear: the three normal stresses become equal, J2 = shear^2, and

    tan(t) = shear / p = M / sqrt(3) = 2 sqrt(3) sin(phi) / (3 - sin(phi)),  sin(phi) = 3 tan(t) / (2 sqrt(3) + tan(t))

Sand laid down flat bears its largest stress across the bed, so the ratio rises to this value without a peak. A thin flow
down a cone of radius r and depth h stretches sideways by h / r of its shear only: its angle is the same.

Experiments on sand: "a mean surface angle equal to the macroscopic friction angle", 34 degrees, which "corresponds to the
value measured with other soil-mechanics devices" and "fluctuates within 2 degrees"; avalanches take 1.7 degrees.
Evesque, Fargeix, Habib, Luong and Porion, Pile density is a control parameter of sand avalanches, Phys. Rev. E 47 (1993)
2326. (Read in the paper's abstract.) Kleinhans and others, J. Geophys. Res. 116 (2011) E11004, found about 40 degrees for
angular and 25 degrees for rounded grains (abstract).

So the law can be given the repose angle of sand or its triaxial friction angle, and not both: a real sand has both at
34 degrees, where this cone makes 38.4 degrees of the second. That slopes of a Drucker-Prager solid can exceed the
friction angle is known: Modaressi and Evesque, arXiv:cond-mat/0507302 (abstract).
"""

import math

import numpy as np
import pytest
import warp as wp

from pliant import sim
from pliant.sim import materials, shapes
from pliant.sim.precision import precision

PUBLISHED, SCATTER = 34.0, 2.0  # degrees: Evesque and others (1993)
STATE = ("position", "velocity", "velocity_gradient", "deformation_gradient")
LENGTH, DEPTH, CELL = 0.4, 0.1, 0.01  # of the tray [m]


def slope_of_friction(angle: float) -> float:
    """Slope [degree] on which the law flows when its friction angle is `angle` [degree]."""
    sine = math.sin(math.radians(angle))
    return math.degrees(math.atan(2.0 * math.sqrt(3.0) * sine / (3.0 - sine)))


def friction_of_slope(slope: float) -> float:
    """Friction angle [degree] that makes the law flow on slopes of more than `slope` [degree]."""
    tangent = math.tan(math.radians(slope))
    return math.degrees(math.asin(3.0 * tangent / (2.0 * math.sqrt(3.0) + tangent)))


def shear_and_normal_stress(friction_angle: float, steps: int) -> np.ndarray:
    """[steps, 2] stresses of sand compressed across a bed by 1e-4 and then sheared along it by 1e-5 a step."""
    p, law = precision("float64"), materials.DruckerPrager
    vec4, real, mat33 = p.vec4, p.real, p.mat33
    coefficients, return_map, kirchhoff = law.coefficients(p), law.return_map(p), law.kirchhoff(p)

    @wp.kernel(enable_backward=False, module="unique")
    def shear(parameters: vec4, out: wp.array2d(dtype=real)):
        c = coefficients(parameters)
        o, i = real(0.0), real(1.0)
        F = return_map(mat33(i, o, o, o, i, o, o, o, real(1.0 - 1e-4)), c)
        for n in range(out.shape[0]):
            F = return_map(mat33(i, o, real(1e-5), o, i, o, o, o, i) * F, c)
            tau = kirchhoff(F, mat33(), c)
            out[n, 0] = tau[0, 2]
            out[n, 1] = -tau[2, 2]

    out = wp.zeros((steps, 2), dtype=real, device="cpu")
    parameters = vec4(1e6, 0.2, math.radians(friction_angle), 0.0)
    wp.launch(shear, dim=1, inputs=[parameters, out], device="cpu")
    return out.numpy()


def tray(frictions: np.ndarray, tilts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Angle of the free surface to the horizontal [degree] and mean speed [m/s] after beds at rest were tilted for 1.5 s.

    A rough bottom, smooth walls; one environment for every friction angle and tilt [degree]. Turning gravity tilts.
    """
    walls = {"x-": "slip", "x+": "slip", "y-": "slip", "y+": "slip", "z-": "stick", "z+": "open"}
    scene = sim.Scene(extent=((0.0, 0.0, 0.0), (LENGTH, 2 * CELL, 1.8 * DEPTH)), cell_size=CELL, walls=walls)
    sand = materials.DruckerPrager(youngs_modulus=1e5, poissons_ratio=0.2, friction_angle=0.5)
    bed = shapes.Box((LENGTH, 2 * CELL, DEPTH), center=(LENGTH / 2, CELL, DEPTH / 2))
    scene.add_mpm(bed, sand, density=1600.0, spacing=CELL / 2, name="sand")
    model = scene.build(dt=1e-3, batch=len(tilts))
    shape = model.parameters()["sand.friction_angle"].value.shape
    given = {"sand.friction_angle": np.broadcast_to(np.radians(frictions)[:, None], shape)}
    rest = model.rollout(500, record=STATE, record_every=500, gradient=False).forward(given)
    given |= {f"sand.{name}": rest[f"sand.{name}"][-1] for name in STATE}
    t = np.radians(tilts)
    given["gravity"] = 9.81 * np.stack([np.sin(t), 0.0 * t, -np.cos(t)], axis=1)
    end = model.rollout(1500, record=STATE[:2], record_every=1500, gradient=False).forward(given)
    speeds = np.linalg.norm(end["sand.velocity"][-1], axis=-1).mean(axis=-1)
    rises = np.array([rise(x[:, 0], x[:, 2]) for x in end["sand.position"][-1]])
    return tilts - rises, speeds


def rise(x: np.ndarray, z: np.ndarray) -> float:
    """Angle [degree] of the line through the surface between the quarters of the tray."""
    places = np.linspace(0.25, 0.75, 9) * LENGTH
    tops = [np.quantile(z[np.abs(x - place) < CELL], 0.98) for place in places]
    return math.degrees(math.atan(np.polyfit(places, tops, 1)[0]))


@pytest.mark.parametrize("friction_angle", [20.0, 30.0, 40.0])
def test_sheared_sand_rises_to_the_ratio_of_stresses_that_the_cone_predicts(friction_angle):
    """1e-3: ten times the elastic strain of 1e-4, by which the axes of stress lag behind those of shear."""
    shear, normal = shear_and_normal_stress(friction_angle, 2000).T
    ratio = shear / normal
    expected = math.tan(math.radians(slope_of_friction(friction_angle)))
    assert ratio[-1] == pytest.approx(expected, rel=1e-3)
    assert ratio.max() <= expected * (1.0 + 1e-3)


@pytest.mark.slow
def test_sand_in_a_tilted_tray_comes_to_rest_at_the_published_angle_of_repose():
    """Two degrees below the predicted slope it holds, two degrees above it avalanches down to that slope.

    1.25 degrees for either. The rough bottom holds a thin bed steeper, as it does real ones: where 34 was predicted,
    beds of 8, 9, 10, 11 and 13 cells came to rest at 35.8, 35.4, 34.9, 34.7 and 34.4. Tilting leans a bed that holds
    against the lower wall, a deep one further: by 0.4 degrees at 8 cells, 0.9 at 10, 1.2 at 13. Beds one cell wide are
    no test of it: they creep down to 30.
    """
    frictions = np.array([friction_of_slope(PUBLISHED)] * 2 + [PUBLISHED] * 2)
    slopes = np.array([slope_of_friction(angle) for angle in frictions])
    tilts = slopes + np.array([-2.0, 2.0, -2.0, 2.0])
    angles, speeds = tray(frictions, tilts)
    print(f"slopes {slopes}, tilts {tilts}, angles at the end {angles}, speeds {speeds}")
    assert (np.abs(angles - tilts)[[0, 2]] <= 1.25).all()
    assert (np.abs(angles - slopes)[[1, 3]] <= 1.25).all()
    assert (speeds <= 0.01 * math.sqrt(9.81 * DEPTH)).all()
    assert abs(angles[1] - PUBLISHED) <= SCATTER
    assert angles[3] > PUBLISHED + SCATTER  # the triaxial angle of the same sand makes the law's slopes too steep
