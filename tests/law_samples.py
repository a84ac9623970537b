"""What the tests of learned laws share: networks with random weights, deformations, rotations."""

import torch

from learn.models.laws.registry import CLASSES, LAWS, RETURN_MAPS

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


def rotations(count=6, seed=2):
    Q, _ = torch.linalg.qr(torch.randn(count, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))
    return Q * torch.linalg.det(Q)[:, None, None]


def with_prior(prior, among=ALL):
    return [cls for cls in among if prior in cls.PRIORS]
