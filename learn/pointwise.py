"""Warp functions of one particle as operators on torch tensors of many, with their vector-Jacobian products.

A learned law is a small dense network between two such functions: features of the deformation gradient F in front of
it, and a tensor assembled from F and the network's output behind it. In torch alone the 3 x 3 algebra would cost
more than the network (measured, 1000 particles: 30 microseconds for each batched product).
"""

import functools
from collections.abc import Callable

import torch
import warp as wp

from pliant.learn.native.particles import particle_stages
from pliant.learn.native.products import assembly_product, features_product
from pliant.learn.native.stages import Stages, lane_stages
from pliant.learn.native.strain import LaneAssembly, LaneFeatures
from pliant.sim.precision import Precision, precision


class Features:
    """f(F): deformation gradients [n, 3, 3] -> features [n, size].

    Args:
        function: precision -> Warp function (F: mat33) -> vec(size).
        size: number of features.
        vjp: optional, precision -> Warp function (F: mat33, g: vec(size)) -> mat33, the gradient of f(F) . g; without
            it Warp differentiates.
        lanes: optional, the same as native code on vector registers, for rollouts on a CPU.
    """

    def __init__(
        self, function: Callable, size: int, vjp: Callable | None = None, *, lanes: LaneFeatures | None = None
    ):
        self.function, self.size, self.vjp, self.lanes = function, size, vjp, lanes

    def value(self, F: torch.Tensor) -> torch.Tensor:
        """Features [n, size] of F [n, 3, 3]."""
        made = F.new_empty((len(F), self.size))
        _launch(_feature_kernels(self.function, self.vjp, self.size, _precision(F))[0], [F], [made], self.size)
        return made

    def pull_back(self, F: torch.Tensor, adjoint: torch.Tensor) -> torch.Tensor:
        """Gradient [n, 3, 3] of features : adjoint [n, size] with respect to F."""
        made = F.new_empty(F.shape)
        kernel = _feature_kernels(self.function, self.vjp, self.size, _precision(F))[1]
        _launch(kernel, [F, adjoint], [made], self.size)
        return made


class Assembly:
    """T(F, c): deformation gradients [n, 3, 3] and coefficients [n, size] -> tensors [n, 3, 3].

    Args:
        function: precision -> Warp function (F: mat33, c: vec(size)) -> mat33, which Warp can differentiate.
        size: number of coefficients.
        lanes: optional, the same as native code on vector registers, for rollouts on a CPU.
    """

    def __init__(self, function: Callable, size: int, *, lanes: LaneAssembly | None = None):
        self.function, self.size, self.lanes = function, size, lanes

    def value(self, F: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """Tensors [n, 3, 3]."""
        made = F.new_empty(F.shape)
        _launch(_assembly_kernels(self.function, self.size, _precision(F))[0], [F, c], [made], self.size)
        return made

    def pull_back(self, F: torch.Tensor, c: torch.Tensor, adjoint: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradients of T : adjoint with respect to F and c."""
        dF, dc = F.new_empty(F.shape), c.new_empty(c.shape)
        _launch(_assembly_kernels(self.function, self.size, _precision(F))[1], [F, c, adjoint], [dF, dc], self.size)
        return dF, dc


def law_stages(features: Features, assembly: Assembly, widths: tuple[int, int], p: Precision) -> Stages:
    """Kernels of a recorded law around its network, whose rows of input and output have these widths."""
    if features.lanes is not None and assembly.lanes is not None:
        return lane_stages(features.lanes, assembly.lanes, widths, p)
    return particle_stages(
        (features.function, features.vjp, features.size), (assembly.function, assembly.size), widths, p
    )


@functools.cache
def _feature_kernels(function: Callable, vjp: Callable | None, size: int, p: Precision) -> tuple[wp.Kernel, wp.Kernel]:
    mat33, vec = p.mat33, p.vector(size)
    features, product = function(p), features_product(function, vjp, size, p)

    @wp.kernel(enable_backward=False, module="unique")
    def evaluate_features(F: wp.array(dtype=mat33), made: wp.array(dtype=vec)):
        i = wp.tid()
        made[i] = features(F[i])

    @wp.kernel(enable_backward=False, module="unique")
    def features_vjp(F: wp.array(dtype=mat33), adjoint: wp.array(dtype=vec), made: wp.array(dtype=mat33)):
        i = wp.tid()
        made[i] = product(F[i], adjoint[i])

    return evaluate_features, features_vjp


@functools.cache
def _assembly_kernels(function: Callable, size: int, p: Precision) -> tuple[wp.Kernel, wp.Kernel]:
    mat33, vec = p.mat33, p.vector(size)
    assemble, product = function(p), assembly_product(function, size, p)

    @wp.kernel(enable_backward=False, module="unique")
    def evaluate_assembly(F: wp.array(dtype=mat33), c: wp.array(dtype=vec), made: wp.array(dtype=mat33)):
        i = wp.tid()
        made[i] = assemble(F[i], c[i])

    @wp.kernel(enable_backward=False, module="unique")
    def assembly_vjp(
        F: wp.array(dtype=mat33),
        c: wp.array(dtype=vec),
        adjoint: wp.array(dtype=mat33),
        dF: wp.array(dtype=mat33),
        dc: wp.array(dtype=vec),
    ):
        i = wp.tid()
        gF, gc = product(F[i], c[i], adjoint[i])
        dF[i] = gF
        dc[i] = gc

    return evaluate_assembly, assembly_vjp


def _precision(tensor: torch.Tensor) -> Precision:
    return precision(str(tensor.dtype).removeprefix("torch."))


def _launch(kernel: wp.Kernel, inputs: list[torch.Tensor], outputs: list[torch.Tensor], size: int) -> None:
    """Launch over the particles; matrices and vectors share the tensors' memory."""
    wp.init()
    F = inputs[0]
    p = _precision(F)
    device = wp.device_from_torch(F.device)
    tensors = [t.detach().contiguous() for t in (*inputs, *outputs)]  # a copy must live until the launch is done
    arrays = [wp.from_torch(t, dtype=p.mat33 if t.ndim == 3 else p.vector(size), return_ctype=True) for t in tensors]
    stream = wp.stream_from_torch(torch.cuda.current_stream(F.device)) if F.is_cuda else None
    wp.launch(kernel, dim=len(F), inputs=arrays, device=device, stream=stream)
