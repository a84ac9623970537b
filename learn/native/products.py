"""Warp functions for the vector-Jacobian products of features of F and of tensors assembled from coefficients."""

import functools
from collections.abc import Callable

import warp as wp

from pliant.sim.precision import Precision


@functools.cache
def features_product(function: Callable, vjp: Callable | None, size: int, p: Precision) -> wp.Function:
    """Warp function (F, g[size]) -> gradient of features(F) . g: the one given, or Warp's derivative."""
    if vjp is not None:
        return vjp(p)
    real, mat33, vec = p.real, p.mat33, p.vector(size)
    features = function(p)

    @wp.func
    def contracted(F: mat33, g: vec) -> real:
        return wp.dot(features(F), g)

    @wp.func
    def product(F: mat33, g: vec) -> mat33:
        gF, gg = wp.grad(contracted)(F, g)
        return gF

    return product


@functools.cache
def assembly_product(function: Callable, size: int, p: Precision) -> wp.Function:
    """Warp function (F, c[size], A) -> gradients of T(F, c) : A with respect to F and c."""
    real, mat33, vec = p.real, p.mat33, p.vector(size)
    assemble = function(p)

    @wp.func
    def contracted(F: mat33, c: vec, A: mat33) -> real:
        return wp.ddot(assemble(F, c), A)

    @wp.func
    def product(F: mat33, c: vec, A: mat33):
        gF, gc, gA = wp.grad(contracted)(F, c, A)
        return gF, gc

    return product
