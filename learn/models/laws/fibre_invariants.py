"""Invariants of the strain of a solid with fibres, and their product; in torch, because the directions may be learned."""

import math

import torch

SYMMETRIC = (0, 5, 4, 5, 1, 3, 4, 3, 2)  # the entries xx, yy, zz, yz, xz, xy as a matrix
ENTRIES = (0, 4, 8, 5, 2, 1)  # and back


class FibreInvariants:
    """Values of the invariants at features (tr U - 3, E = F^T F - I in six entries, log J) for unit directions a, and their product.

    With x = a . E a and w = E a: l^2 = 1 + x, m^2 = |a + w|^2, and m / l - l = |w - x a|^2 / (l (m + l^2)).

    Args:
        features: [n, 8].
        a: [families, 3] or [families, n, 3].
    """

    def __init__(self, features: torch.Tensor, a: torch.Tensor):
        self.a, self.E = a, features[:, 1:7][:, SYMMETRIC].reshape(-1, 3, 3)
        self.w = torch.einsum("nij,fj->fni" if a.ndim == 2 else "nij,fnj->fni", self.E, a)
        along = a[:, None] if a.ndim == 2 else a
        x = (along * self.w).sum(-1)
        across = (self.w - x[..., None] * along).square().sum(-1)
        self.stretch, self.m = (1.0 + x).sqrt(), (along + self.w).square().sum(-1).sqrt()
        self.length = (3.0 + self.E.diagonal(dim1=1, dim2=2).sum(1)).sqrt()
        size = (self.length**2 - 3.0) / (self.length + math.sqrt(3.0))
        shear = across / (self.stretch * (self.m + self.stretch**2))
        columns = [features[:, 0], size, features[:, 7]]
        for f in range(len(a)):
            columns += [x[f] / (1.0 + self.stretch[f]), shear[f]]
        if len(a) == 2:
            self.rest = (along[0] * along[1]).sum(-1)
            self.cosine = (self.rest + (along[0] * self.w[1]).sum(-1)) / (self.stretch[0] * self.stretch[1])
            columns.append((self.cosine - self.rest) ** 2)
        self.value = torch.stack(columns, dim=1)

    def pull_back(self, adjoint: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradients of value : adjoint with respect to the features, and to directions that all particles share."""
        a = (self.a[:, None] if self.a.ndim == 2 else self.a).expand_as(self.w)
        families, s, m = len(self.a), self.stretch, self.m
        dl, ds = adjoint[:, 3 : 3 + 2 * families : 2].T, adjoint[:, 4 : 4 + 2 * families : 2].T
        dx = dl / (2.0 * s) + ds * (1.0 / (m * s) - m / (2.0 * s**3) - 1.0 / (2.0 * s))
        dsquare = ds / (2.0 * m * s)
        eye = torch.eye(3, dtype=a.dtype, device=a.device)
        dE = (adjoint[:, 1] / (2.0 * self.length))[:, None, None] * eye
        da = torch.zeros_like(self.w)
        if families == 2:
            turn = 2.0 * adjoint[:, 7] * (self.cosine - self.rest)
            dz = turn / (s[0] * s[1])
            dx = dx - turn * self.cosine / (2.0 * s**2)
            dE = dE + _outer(dz[:, None] * a[0], a[1])
            da = dz[:, None] * self.w.flip(0) + (dz - turn)[:, None] * a.flip(0)
        dE = dE + _outer(dx[..., None] * a, a).sum(0) + 2.0 * _outer(dsquare[..., None] * self.w, a).sum(0)
        pulled = torch.einsum("nij,fnj->fni", self.E, self.w)
        da = da + 2.0 * (dx[..., None] * self.w + dsquare[..., None] * pulled)
        entries = (dE + dE.mT).reshape(-1, 9)[:, ENTRIES]
        entries[:, :3] *= 0.5
        return torch.cat([adjoint[:, :1], entries, adjoint[:, 2:3]], dim=1), da.sum(1)


def _outer(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a[..., :, None] * b[..., None, :]
