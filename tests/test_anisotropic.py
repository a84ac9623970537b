"""The learned law with fibres: what its directions mean, several shapes of them, and finding one from stress."""

import pytest
import torch

from pliant.learn import ExplicitLaw
from pliant.learn.models.laws import AnisotropicNetwork
from pliant.sim import InputError
from tests.law_samples import EYE, deformations, make, rotations

TWO = ((1.0, 0.0, 0.0), (0.6, 0.8, 0.1))
EACH = torch.randn(2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).tolist()
SHAPES = [
    {"fibres": TWO},
    {"fibres": TWO, "learn_fibres": False},
    {"fibres": EACH, "learn_fibres": False},
    {"fibres": [EACH[0]], "learn_fibres": False},
]


@pytest.mark.parametrize("options", SHAPES)
def test_one_or_two_families_shared_or_a_particle_keep_the_priors(options):
    """Zero at rest, symmetric, objective, the derivative of its energy; products against finite differences."""
    law, F, Q = make(AnisotropicNetwork, spread=0.1, **options), deformations(), rotations()
    assert isinstance(law, ExplicitLaw)
    A = torch.randn(6, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        tau = law(F)
        assert law(EYE.repeat(3, 1, 1)).abs().max() <= 1e-12
        assert (tau - tau.mT).abs().max() <= 1e-12
        assert (law(Q @ F) - Q @ tau @ Q.mT).abs().max() <= 1e-10
        slope = (law.energy(F + 1e-6 * A @ F) - law.energy(F - 1e-6 * A @ F)) / 2e-6
        assert (slope - (tau * A).sum((1, 2))).abs().max() <= 1e-8
    F.requires_grad_()
    assert torch.autograd.gradcheck(lambda F, *_: law(F), (F, *law.parameters()), rtol=1e-5, atol=1e-7)


def test_turning_rest_state_and_fibres_together_changes_nothing():
    Q, F = rotations(1)[0], deformations()
    law = make(AnisotropicNetwork, fibres=TWO)
    turned = make(AnisotropicNetwork, fibres=(torch.tensor(TWO, dtype=torch.float64) @ Q.T).tolist())
    assert (turned(F @ Q.T) - law(F)).abs().max() <= 1e-10


def test_a_fibre_has_no_sense():
    opposite = [[-x for x in fibre] for fibre in TWO[:1]] + [list(TWO[1])]
    law, other = make(AnisotropicNetwork, fibres=TWO), make(AnisotropicNetwork, fibres=opposite)
    assert (law(deformations()) - other(deformations())).abs().max() <= 1e-10


def test_a_solid_is_stiffer_along_its_fibres():
    law = make(AnisotropicNetwork, gain=0.0)
    along, across = EYE.clone(), EYE.clone()
    along[0, 0] = across[1, 1] = 1.1
    with torch.no_grad():
        assert law(along[None])[0, 0, 0] > 1.2 * law(across[None])[0, 1, 1]


def test_a_direction_is_found_from_stress():
    """Stress of a reinforced neo-Hookean solid whose fibres lie 63 degrees away from the first guess."""
    hidden = torch.tensor([0.45, 0.8, 0.4], dtype=torch.float64)
    truth = make(AnisotropicNetwork, fibres=[hidden.tolist()], gain=0.0)
    with torch.no_grad():
        truth.log_moduli[2] = 0.5
    F = deformations(100, 0.1)
    wanted, law = truth(F).detach(), make(AnisotropicNetwork)
    optimizer = torch.optim.Adam(law.parameters(), lr=3e-2)
    for _ in range(200):
        optimizer.zero_grad()
        (law(F) - wanted).square().sum().backward()
        optimizer.step()
    found, hidden = torch.nn.functional.normalize(law.fibres.detach()[0], dim=0), hidden / hidden.norm()
    assert abs(float(found @ hidden)) > 0.999


@pytest.mark.parametrize(
    ("fibres", "learned", "reason"),
    [
        ((1.0, 0.0, 0.0), True, r"expected shape \[1 or 2, 3\], got \[3\]"),
        (torch.eye(3), True, r"got \[3, 3\]"),
        (EACH, True, r"got \[2, 3, 3\]"),
        (((0.0, 0.0, 0.0),), True, "not zero"),
        (((float("nan"), 0.0, 0.0),), False, "finite"),
    ],
)
def test_fibres_of_another_shape_or_length_are_refused(fibres, learned, reason):
    with pytest.raises(InputError, match=reason):
        AnisotropicNetwork(fibres=fibres, learn_fibres=learned)


def test_fibres_of_another_number_of_particles_are_refused():
    law = make(AnisotropicNetwork, fibres=EACH, learn_fibres=False)
    with pytest.raises(InputError, match="expected 3 particles, one a direction, got 4"):
        law(deformations(4))
