"""Stress along simple paths and stiffness at rest: what is drawn and told of a learned law."""

import numpy as np
import pytest
import torch

from pliant.learn import TorchLaw
from pliant.learn.models.laws import DissipativeReturnMap, HenckyLaw, HyperelasticNetwork
from pliant.learn.models.laws.stiffness import (
    greatest_strains,
    is_stable,
    isotropic_moduli,
    moduli_told,
    stiffness_at_rest,
)
from pliant.learn.stress_plot import response_of, simple_paths, stress_along, stress_plot
from pliant.sim import StrainRange, materials
from pliant.sim.materials.respond import respond
from tests import reference_laws as reference
from tests.evaluate_laws import SAMPLES, deformations
from tests.law_samples import EYE, STRESSES, make, with_prior

SEEN = StrainRange(stretch=(0.8, 1.1), volume=(0.7, 1.05))
PLASTIC = materials.VonMises(youngs_modulus=3e5, poissons_ratio=0.25, yield_stress=5e3)


@pytest.mark.parametrize(("name", "values"), SAMPLES)
def test_a_materials_response_is_that_of_its_reference(name, values):
    F = deformations()
    after, tau = respond(getattr(materials, name)(**values), F)
    expected = reference.RETURN_MAP[name](F, **values) if name in reference.RETURN_MAP else F
    assert np.abs(after - expected).max() < 1e-12
    assert np.abs(tau - reference.KIRCHHOFF[name](expected, np.zeros_like(F), **values)).max() < 1e-12


def test_the_shear_stress_of_a_plastic_solid_stays_at_its_yield_stress():
    """The deviatoric stress has norm Y, its shear entry twice: Y / sqrt(2); 0.3 % of it goes into the normal stresses."""
    *_, (_, path) = simple_paths(StrainRange(stretch=(0.8, 1.2), volume=(0.9, 1.1)))
    shear = stress_along(path.F, lambda F: respond(PLASTIC, F))[:, 0, 1]
    assert shear[-1] == pytest.approx(5e3 / np.sqrt(2.0), rel=5e-3) and shear[0] == 0.0


def test_paths_reach_beyond_the_validity_range_and_start_at_rest():
    for low, high in simple_paths(SEEN):
        for side in (low, high):
            assert np.array_equal(side.F[0], np.eye(3))
        s = np.linalg.svd(np.concatenate([low.F, high.F]), compute_uv=False)
        J = np.linalg.det(np.concatenate([low.F, high.F]))
        outside = s.min() < 0.8 or s.max() > 1.1 or J.min() < 0.7 or J.max() > 1.05
        assert outside


def test_a_learned_law_with_the_true_moduli_draws_the_true_curves():
    law = TorchLaw(make(HenckyLaw), make(DissipativeReturnMap, smoothing=1e-6, strain_scale=5e3 / 2.4e5 / 1.0001))
    with torch.no_grad():
        law.kirchhoff.log_moduli.fill_(np.log(1.2e5))
        for weight in law.return_map.network.parameters():
            weight.zero_()
        law.return_map.network.biases[-1][1:] = 1e9  # no limit of the volume
    for sides in simple_paths(SEEN):
        for side in sides:
            learned, true = stress_along(side.F, response_of(law)), stress_along(side.F, lambda F: respond(PLASTIC, F))
            assert np.abs(learned - true).max() < 1e-3  # Pa, of 2e4


@pytest.mark.parametrize("truth", [None, PLASTIC])
@pytest.mark.parametrize("validity", [None, SEEN, StrainRange(stretch=(1.0, 1.0), volume=(1.0, 1.0))])
def test_the_plot_is_a_png_with_or_without_truth_and_validity(truth, validity):
    picture = stress_plot(TorchLaw(HenckyLaw(stress_scale=1e5), validity=validity), truth=truth)
    assert picture.startswith(b"\x89PNG") and len(picture) > 10_000


@pytest.mark.parametrize("name", ["HenckyLaw", "SaintVenantKirchhoffLaw"])
def test_stiffness_at_rest_gives_the_moduli(name):
    law = make(next(cls for cls in STRESSES if cls.__name__ == name))
    with torch.no_grad():
        law.log_moduli.copy_(torch.log(torch.tensor(reference.lame(2e5, 0.3), dtype=torch.float64)))
    stiffness = stiffness_at_rest(law)
    assert isotropic_moduli(stiffness) == pytest.approx((2e5, 0.3), rel=1e-9)
    assert is_stable(stiffness) and not is_stable(-stiffness)


def stretched(*stretches):
    """Rest, and one deformation with these principal stretches in turned axes."""
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    return np.stack([np.eye(3), Q @ np.diag(stretches)])


def test_the_greatest_strains_are_those_of_volume_and_of_shape():
    volume, shear = greatest_strains(stretched(1.1 * 1.05, 1.1 / 1.05, 1.1))
    assert volume == pytest.approx(3.0 * np.log(1.1), rel=1e-12)
    assert shear == pytest.approx(np.sqrt(2.0) * np.log(1.05), rel=1e-12)


def test_a_card_gives_the_moduli_that_the_data_tell_and_says_which_they_do_not():
    """Of a stiffness with K = 1e5 Pa and mu = -2e4 Pa, which without the data would have E < 0."""
    shear = np.eye(6)
    shear[:3, :3] -= 1.0 / 3.0
    volume = np.zeros((6, 6))
    volume[:3, :3] = 1.0
    stiffness = 1e5 * volume - 4e4 * shear
    assert isotropic_moduli(stiffness)[0] < 0.0
    both = moduli_told(stiffness, stretched(1.1, 1.0, 1.0))
    assert both == moduli_told(stiffness) and set(both) == {"E [Pa]", "nu", "stable"} and not both["stable"]

    water = moduli_told(stiffness, stretched(1.01, 1.01, 1.01))
    assert water.pop("untold").startswith("The data strain shape by at most")
    assert water == {"K [Pa]": pytest.approx(1e5), "stable": True}
    isochoric = moduli_told(stiffness, stretched(1.01, 1.0 / 1.01, 1.0))
    assert isochoric.pop("untold").endswith(", which does not tell K, E and nu.")
    assert isochoric == {"mu [Pa]": pytest.approx(-2e4), "stable": False}
    nothing = moduli_told(stiffness, np.eye(3))
    sentence = "The data strain volume by at most 0 and shape by at most 0, which does not tell K, mu, E and nu."
    assert nothing == {"stable": True, "untold": sentence}


@pytest.mark.parametrize("cls", with_prior("conservative", STRESSES))
def test_stiffness_is_the_curvature_of_the_energy_at_rest(cls):
    """psi(I + h e) = h^2 / 2 e : C e + O(h^3); with h = 1e-4 the error is 1e-4 of it, and round-off 1e-8."""
    law = make(cls, spread=0.1)
    e = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    e = (e + e.T) / 2
    mandel = np.array([e[i, j] * (1.0 if i == j else np.sqrt(2.0)) for i, j in _pairs()])
    with torch.no_grad():
        energy = float((law.energy(EYE + 1e-4 * e[None]) + law.energy(EYE - 1e-4 * e[None]))[0]) / 1e-8
    assert energy == pytest.approx(mandel @ stiffness_at_rest(law) @ mandel, rel=1e-5)


def _pairs():
    from pliant.learn.models.laws.stiffness import PAIRS

    return PAIRS


@pytest.mark.parametrize("cls", with_prior("conservative", STRESSES))
def test_a_law_is_stable_at_rest_where_training_starts(cls):
    for seed in range(20):
        law, rng = make(cls, seed), torch.Generator().manual_seed(seed)
        assert is_stable(stiffness_at_rest(law))
        e = 1e-2 * torch.randn(50, 3, 3, dtype=torch.float64, generator=rng)
        with torch.no_grad():
            assert (law.energy(EYE + (e + e.mT) / 2) >= 0.0).all()


def test_an_unstable_law_is_found_out():
    law = make(HyperelasticNetwork)
    with torch.no_grad():
        law.log_moduli.fill_(-10.0)
        law.network.last.mul_(100.0)
    assert not is_stable(stiffness_at_rest(law))
