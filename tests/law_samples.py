"""What the tests of learned laws share: networks with random weights, deformations, rotations."""

import torch

from pliant.learn.models.laws.registry import CLASSES, LAWS, RETURN_MAPS

EYE = torch.eye(3, dtype=torch.float64)
STRESSES = tuple(LAWS.values())
MAPS = tuple(cls for cls in RETURN_MAPS.values() if cls is not None)
ALL = tuple(CLASSES.values())


def make(cls, seed=0, spread=0.0, **options):
    """A law in double precision; `spread` is the size of a random change of every weight."""
    rng = torch.Generator().manual_seed(seed)
    law = cls(dtype=torch.float64, generator=rng, **options)
    with torch.no_grad():
        for weight in law.parameters():
            weight += spread * torch.randn(weight.shape, dtype=weight.dtype, generator=rng)
    return law


def deformations(count=6, size=0.2, seed=1):
    rng = torch.Generator().manual_seed(seed)
    return EYE + size * torch.randn(count, 3, 3, dtype=torch.float64, generator=rng)


def coinciding(seed=3):
    """Turned deformations of which two or three stretches are the same, at rest's size and far from it, and one nearly flat."""
    stretches = torch.tensor(
        [[s, s, t] for s in (0.45, 1.0, 2.3) for t in (0.45, 1.0, 2.3)] + [[1e-3, 1.0, 1.0]], dtype=torch.float64
    )
    count = len(stretches)
    return rotations(count, seed) @ torch.diag_embed(stretches) @ rotations(count, seed + 1)


def rotations(count=6, seed=2):
    Q, _ = torch.linalg.qr(torch.randn(count, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))
    return Q * torch.linalg.det(Q)[:, None, None]


def with_prior(prior, among=ALL):
    return [cls for cls in among if prior in cls.PRIORS]


def _at_rest(law, is_map):
    return (law(EYE[None]) - EYE * is_map).abs().max()


def _objectivity(law, is_map, F=None):
    """A rotation of space rotates the result."""
    F = deformations() if F is None else F
    Q = rotations(len(F))
    turned = Q @ law(F) if is_map else Q @ law(F) @ Q.mT
    return (law(Q @ F) - turned).abs().max()


def _isotropy(law, is_map, F=None):
    """A rotation of the rest state changes nothing, but turns a deformation gradient back."""
    F = deformations() if F is None else F
    Q = rotations(len(F))
    return (law(F @ Q) - (law(F) @ Q if is_map else law(F))).abs().max()


def _asymmetry(law, is_map):
    return (law(deformations()) - law(deformations()).mT).abs().max()


RESIDUALS = {
    "zero at rest": (_at_rest, 1e-12),
    "identity at rest": (_at_rest, 1e-12),
    "objective": (_objectivity, 1e-10),
    "isotropic": (_isotropy, 1e-10),
    "symmetric": (_asymmetry, 1e-12),
}
"""Prior -> (what it makes zero, its bound in numbers of order one)."""


def claims(claimed):
    """(class, prior) of the priors in the table that a class claims, or of those it could but does not."""
    foreign = {False: {"identity at rest"}, True: {"zero at rest", "symmetric"}}
    pairs = [(cls, prior) for cls in ALL for prior in RESIDUALS if prior not in foreign[cls in MAPS]]
    return [(cls, prior) for cls, prior in pairs if (prior in cls.PRIORS) == claimed]
