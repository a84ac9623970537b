"""The learned return map: dissipation for any weights, the classical maps it contains, and finding a yield surface."""

import numpy as np
import pytest
import torch

from pliant.learn.models.laws import DissipativeReturnMap, IsochoricReturnMap
from tests import reference_laws as reference
from tests.law_samples import EYE, STRESSES, deformations, make, rotations, with_prior

NEVER = 1e9  # output of the network for a limit that is never met


def sharp(radius, **options):
    """A map with a constant yield radius and a sharp corner that keeps the volume."""
    law = make(DissipativeReturnMap, strain_scale=radius, smoothing=1e-7, **options)
    with torch.no_grad():
        for weight in law.network.parameters():
            weight.zero_()
        law.network.biases[-1][1:] = NEVER
    return law


@pytest.mark.parametrize("cls", with_prior("ordered", STRESSES))
@pytest.mark.parametrize("seed", range(5))
def test_energy_never_rises_under_the_map(cls, seed):
    """Any weights, random strains of every size; 1e-14 is the round-off of an energy of order one."""
    law, plastic = make(cls, seed), make(DissipativeReturnMap, seed, spread=1.0, strain_scale=0.05)
    F = torch.cat([deformations(50, size, seed) for size in (0.01, 0.1, 0.4)])
    F = F[torch.linalg.det(F) > 0.01]
    with torch.no_grad():
        before, after = law.energy(F), law.energy(plastic(F))
    assert (after <= before + 1e-14).all() and (after < before - 1e-6).any()


@pytest.mark.parametrize("seed", range(3))
def test_dissipation_is_never_negative_along_random_paths(seed):
    """Work done on the material is stored or dissipated: at every step the map takes energy away, or nothing."""
    law = make(with_prior("ordered", STRESSES)[0], seed)
    plastic = make(DissipativeReturnMap, seed, spread=0.5, strain_scale=0.05)
    rng = torch.Generator().manual_seed(seed)
    F, total = EYE.repeat(20, 1, 1), 0.0
    drift = 0.02 * torch.randn(20, 3, 3, dtype=torch.float64, generator=rng)
    with torch.no_grad():
        for _ in range(40):
            trial = torch.linalg.matrix_exp(drift + 0.02 * torch.randn(F.shape, dtype=F.dtype, generator=rng)) @ F
            F = plastic(trial)
            lost = law.energy(trial) - law.energy(F)
            assert lost.min() >= -1e-14
            total += float(lost.sum())
    assert total > 1e-3


@pytest.mark.parametrize("cls", with_prior("ordered", STRESSES))
def test_ordered_laws_meet_the_conditions_of_the_proof(cls):
    F = deformations(200, 0.3)
    U, s, _ = torch.linalg.svd(F)
    e = s.log()
    with torch.no_grad():
        tau = (U.mT @ make(cls, spread=0.3)(F) @ U).diagonal(dim1=1, dim2=2)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert ((tau[:, i] - tau[:, j]) * (e[:, i] - e[:, j])).min() >= 0.0
    assert (tau.sum(1) * e.sum(1)).min() >= 0.0


def test_a_map_is_exactly_the_identity_near_rest_and_after_a_rotation():
    """Whatever the weights, limits are at least a ten thousandth of the strain scale."""
    law, F = make(DissipativeReturnMap, spread=0.3), EYE + 1e-6 * (deformations() - EYE)
    with torch.no_grad():
        assert torch.equal(law(F), F)
        assert torch.equal(law(rotations()), rotations())


def test_an_isochoric_map_keeps_every_volume_and_still_takes_shear_away():
    law, F = make(IsochoricReturnMap, spread=1.0), deformations(50, 0.3)
    F = F[torch.linalg.det(F) > 0.01]
    with torch.no_grad():
        mapped = law(F)
        assert (torch.linalg.det(mapped) / torch.linalg.det(F) - 1.0).abs().max() <= 1e-12
        assert (mapped - F).abs().max() > 1e-2
        surface = law.surface(torch.linspace(-1.0, 1.0, 5).double(), torch.zeros(5).double())
        assert (surface.tension > 1e3).all() and (surface.compaction > 1e3).all() and (surface.radius < 10.0).all()


def test_a_constant_radius_is_von_mises():
    values = {"youngs_modulus": 1.7, "poissons_ratio": 0.3, "yield_stress": 0.2}
    radius, F = reference.von_mises_radius(**values), deformations(50).numpy()
    with torch.no_grad():
        mapped = sharp(radius / 1.0001)(torch.from_numpy(F)).numpy()  # the floor adds a ten thousandth
    assert np.abs(mapped - reference.von_mises_return(F, **values)).max() < 1e-8


def test_no_radius_is_a_fluid_that_keeps_only_its_volume():
    law = sharp(1e-4)
    with torch.no_grad():
        law.network.biases[-1][0] = -100.0
        F = deformations(50)
        F = F[torch.linalg.det(F) > 0]
        U, _, Vt = torch.linalg.svd(F)
        expected = torch.linalg.det(F)[:, None, None] ** (1 / 3) * (U @ Vt)
        assert (law(F) - expected).abs().max() < 1e-7  # the floor of the radius is 1e-8


def test_drucker_prager_is_within_reach():
    """Fitted to the cone of a friction angle of 0.4 and its apex; in tension both volume and shear go."""
    values = {"youngs_modulus": 1.0, "poissons_ratio": 0.2, "friction_angle": 0.4, "cohesion": 0.0}
    law = make(DissipativeReturnMap, smoothing=0.01)
    trace, lode = torch.linspace(-0.1, 0.03, 66, dtype=torch.float64), torch.zeros(66, dtype=torch.float64)
    slope = reference.drucker_prager_excess(np.diag([0.9, 0.9, 0.9])[None], **values)[0] / (3 * np.log(0.9))
    wanted = (-float(slope[0]) * trace).clamp_min(0.0)
    optimizer = torch.optim.Adam(law.network.parameters(), lr=1e-2)
    for _ in range(400):
        optimizer.zero_grad()
        (law.surface(trace, lode).radius - wanted).div(0.01).square().mean().backward()
        optimizer.step()
    with torch.no_grad():
        assert (law.surface(trace, lode).radius - wanted).abs().max() < 0.05 * wanted.max()
        law.network.weights[-1][1:] = 0.0
        law.network.biases[-1][1:] = torch.tensor([-NEVER, NEVER])
        F = torch.from_numpy(np.exp(0.02) * rotations(4).numpy())
        assert (law(F) - rotations(4)).abs().max() < 1e-5


def test_a_yield_radius_is_found_from_the_default_start():
    """From trial strains and what a von Mises solid makes of them, starting at half as much again."""
    values = {"youngs_modulus": 1.0, "poissons_ratio": 0.25, "yield_stress": 0.016}
    radius = reference.von_mises_radius(**values)
    F = deformations(200, 0.02)
    wanted = torch.from_numpy(reference.von_mises_return(F.numpy(), **values))
    law = make(DissipativeReturnMap)
    optimizer = torch.optim.Adam(law.parameters(), lr=2e-2)
    for _ in range(300):
        optimizer.zero_grad()
        (law(F) - wanted).square().sum().backward()
        optimizer.step()
    trace, lode = torch.zeros(3, dtype=torch.float64), torch.tensor([-0.9, 0.0, 0.9], dtype=torch.float64)
    assert law.surface(trace, lode).radius.detach().numpy() == pytest.approx(radius, rel=0.1)
