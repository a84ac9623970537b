"""Structures of tensors (a tensor, tuples, lists, dicts of them) and the arrays [systems, n] that solvers see."""

import dataclasses
import math
from typing import Any

import torch
from torch.utils import _pytree as pytree

from pliant.sim.errors import InputError

Tensors = tuple[torch.Tensor, ...]


@dataclasses.dataclass(frozen=True)
class Layout:
    """Between unknowns as a user writes them, the tuple of their tensors, and one array [systems, n].

    Args:
        spec: of the structure.
        shapes: of the tensors.
        systems: their common leading axes, over which the systems are independent.
        single: whether the structure is one bare tensor.
    """

    spec: Any
    shapes: tuple[torch.Size, ...]
    systems: torch.Size
    single: bool

    @staticmethod
    def of(structure: Any, batch_dims: int, what: str) -> tuple["Layout", Tensors]:
        """The layout of unknowns, and their tensors.

        Errors: `InputError` for what is no real floating tensor, for mixed types, and for unequal batch axes.
        """
        leaves, spec = pytree.tree_flatten(structure)
        for leaf in leaves:
            if not isinstance(leaf, torch.Tensor) or not leaf.dtype.is_floating_point:
                kind = leaf.dtype if isinstance(leaf, torch.Tensor) else type(leaf).__name__
                raise InputError(
                    f"{what}: expected real floating tensors, got {kind}; pass tensors, a complex one by torch.view_as_real."
                )
        kinds = {(leaf.dtype, leaf.device) for leaf in leaves}
        heads = {leaf.shape[:batch_dims] for leaf in leaves}
        if len(kinds) != 1 or len(heads) != 1 or batch_dims < 0 or any(leaf.ndim < batch_dims for leaf in leaves):
            raise InputError(
                f"{what}: expected tensors of one type on one device with the same {batch_dims} leading axes, got shapes "
                f"{[tuple(leaf.shape) for leaf in leaves]} of {sorted({str(k) for k, _ in kinds})}; correct them or batch_dims."
            )
        return Layout(spec, tuple(leaf.shape for leaf in leaves), heads.pop(), structure is leaves[0]), tuple(leaves)

    def structure(self, leaves: Tensors) -> Any:
        """The tensors as the user writes them."""
        if self.single:
            return leaves[0]
        return pytree.tree_unflatten(list(leaves), self.spec)

    def leaves(self, structure: Any, what: str) -> Tensors:
        """The tensors of a structure that must be like this one."""
        if self.single and isinstance(structure, torch.Tensor) and structure.shape == self.shapes[0]:
            return (structure,)
        found, spec = pytree.tree_flatten(structure)
        shapes = tuple(leaf.shape if isinstance(leaf, torch.Tensor) else None for leaf in found)
        if shapes != self.shapes or len(found) != len(self.shapes):
            raise InputError(
                f"{what}: expected tensors shaped like the unknowns, {[tuple(s) for s in self.shapes]}, got "
                f"{[type(f).__name__ if s is None else tuple(s) for f, s in zip(found, shapes, strict=True)]}; return one "
                "equation for each unknown."
            )
        return tuple(found)

    def ravel(self, leaves: Tensors) -> torch.Tensor:
        """[systems, n] of tensors."""
        count, axes = math.prod(self.systems), len(self.systems)
        return torch.cat([leaf.reshape(count, math.prod(leaf.shape[axes:])) for leaf in leaves], dim=1)

    def unravel(self, array: torch.Tensor) -> Tensors:
        """Tensors of [systems, n]."""
        sizes = [math.prod(shape[len(self.systems) :]) for shape in self.shapes]
        return tuple(p.reshape(s) for p, s in zip(array.split(sizes, dim=1), self.shapes, strict=True))
