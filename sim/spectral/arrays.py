"""Arrays and Fourier transforms of a device: NumPy with SciPy on the CPU, torch on CUDA (imported only there).

Both offer multiply, add and subtract with `out=`, slicing and assignment, so that everything else is written once. Every
transform goes along one axis and writes to `out`; those called forward divide by the axis' length. In one dimension on
the CPU, what a step asks for can be noted once and replayed by compiled code (`sim.spectral.native.recording`).
"""

from typing import Any, Protocol

import numpy as np
import warp as wp

from pliant.sim.errors import MissingDependencyError
from pliant.sim.precision import Precision
from pliant.sim.spectral import fft

COMPLEX = {"float32": np.complex64, "float64": np.complex128}


class Arrays(Protocol):
    """What the solver asks of a device; transforms are over one axis, those "forward" divide by its length."""

    multiply: Any
    add: Any
    subtract: Any
    where: Any
    sqrt: Any
    narrow: bool  # whether coefficients have no room for the modes that were cut

    def load(self, values: np.ndarray) -> Any:
        """A copy on the device."""

    def host(self, values: Any) -> np.ndarray:
        """A copy as NumPy."""

    def load_factor(self, values: np.ndarray, p: Precision) -> Any:
        """What coefficients are multiplied with, on the device, in the type that is fastest there."""

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any: ...

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any: ...

    def conj(self, values: Any) -> Any: ...

    def copy(self, values: Any, out: Any) -> None:
        """Write values, or one number everywhere."""

    def multiply_add(self, a: Any, b: Any, out: Any, scratch: Any) -> None:
        """Add a product."""

    def add_means(self, values: Any, out: np.ndarray) -> None:
        """Add the mean of every environment to out [batch], in float64 on the host."""

    def traced(self, values: Any) -> Any:
        """Fields on the points in the form that an equation's products are to be given them."""

    def finite(self, values: Any) -> bool:
        """Whether every entry is."""

    def largest(self, values: Any) -> np.ndarray:
        """Largest magnitude of each environment [batch] of values [batch, ...]."""

    def mean(self, values: Any) -> np.ndarray:
        """Mean [batch] of values [batch, ...] on the points, in float64."""

    def forward_real(self, values: Any, out: Any) -> Any:
        """Coefficients of real values along the last axis."""

    def backward_real(self, coefficients: Any, out: Any) -> Any:
        """Real values of coefficients along the last axis."""

    def forward(self, values: Any, axis: int, out: Any) -> Any:
        """Coefficients along an axis; `out` may be `values`."""

    def backward(self, coefficients: Any, axis: int, out: Any) -> Any:
        """Values along an axis."""


class _Shared:
    """What is the same for both."""

    narrow = False

    def copy(self, values: Any, out: Any) -> None:
        out[...] = values

    def multiply_add(self: Any, a: Any, b: Any, out: Any, scratch: Any) -> None:
        self.add(out, self.multiply(a, b, out=scratch), out=out)

    def add_means(self: Any, values: Any, out: np.ndarray) -> None:
        out += self.mean(values)

    def traced(self, values: Any) -> Any:
        return values


class HostArrays(_Shared):
    """NumPy arrays."""

    multiply, add, subtract = staticmethod(np.multiply), staticmethod(np.add), staticmethod(np.subtract)
    conj, where, sqrt = staticmethod(np.conj), staticmethod(np.where), staticmethod(np.sqrt)
    forward_real, backward_real = staticmethod(fft.forward_real), staticmethod(fft.backward_real)
    forward, backward = staticmethod(fft.forward), staticmethod(fft.backward)

    def load(self, values: np.ndarray) -> np.ndarray:
        return np.array(values, order="C")

    def load_factor(self, values: np.ndarray, p: Precision) -> np.ndarray:
        """Complex in any case: NumPy converts real factors of complex numbers piece by piece, which takes half as long again."""
        return np.array(values, complex_of(p), order="C")

    def host(self, values: np.ndarray) -> np.ndarray:
        return np.array(values, order="C")

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.empty(shape, dtype)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.zeros(shape, dtype)

    def finite(self, values: np.ndarray) -> bool:
        return bool(np.isfinite(values).all())

    def largest(self, values: np.ndarray) -> np.ndarray:
        return np.abs(values).reshape(len(values), -1).max(axis=1)

    def mean(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(len(values), -1).mean(axis=1, dtype=np.float64)


class TorchArrays(_Shared):
    """Torch tensors on one device."""

    def __init__(self, device: str):
        try:
            import torch  # noqa: TID251 (the one lazy import: Warp has no FFT of this size on CUDA)
        except ImportError:
            raise MissingDependencyError("spectral: fields on CUDA need torch's FFT; install torch.") from None
        self.torch, self.device = torch, device
        self.multiply, self.add, self.subtract = torch.multiply, torch.add, torch.subtract
        self.where, self.sqrt = torch.where, torch.sqrt

    def load(self, values: np.ndarray) -> Any:
        return self.torch.from_numpy(np.array(values, order="C")).to(self.device)

    def load_factor(self, values: np.ndarray, p: Precision) -> Any:
        return self.load(values.astype(complex_of(p) if values.dtype.kind == "c" else p.numpy))

    def host(self, values: Any) -> np.ndarray:
        return np.array(values.detach().resolve_conj().cpu().numpy())

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return self.torch.empty(shape, dtype=getattr(self.torch, np.dtype(dtype).name), device=self.device)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return self.torch.zeros(shape, dtype=getattr(self.torch, np.dtype(dtype).name), device=self.device)

    def conj(self, values: Any) -> Any:
        return self.torch.conj_physical(values)

    def finite(self, values: Any) -> bool:
        return bool(self.torch.isfinite(values).all())

    def largest(self, values: Any) -> np.ndarray:
        return self.host(values.abs().reshape(len(values), -1).amax(dim=1))

    def mean(self, values: Any) -> np.ndarray:
        return self.host(values.reshape(len(values), -1).mean(dim=1, dtype=self.torch.float64))

    def forward_real(self, values: Any, out: Any) -> Any:
        return out.copy_(self.torch.fft.rfft(values, dim=-1, norm="forward"))

    def backward_real(self, coefficients: Any, out: Any) -> Any:
        return out.copy_(self.torch.fft.irfft(coefficients, n=out.shape[-1], dim=-1, norm="forward"))

    def forward(self, values: Any, axis: int, out: Any) -> Any:
        return out.copy_(self.torch.fft.fft(values, dim=axis, norm="forward"))

    def backward(self, coefficients: Any, axis: int, out: Any) -> Any:
        return out.copy_(self.torch.fft.ifft(coefficients, dim=axis, norm="forward"))


def arrays_of(device: wp.Device) -> Arrays:
    """The arrays of a device."""
    return TorchArrays(wp.device_to_torch(device)) if device.is_cuda else HostArrays()


def complex_of(p: Precision) -> type:
    """The complex NumPy type of a precision."""
    return COMPLEX[p.name]
