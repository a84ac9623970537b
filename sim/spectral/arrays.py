"""Arrays and Fourier transforms of a device: NumPy with SciPy on the CPU, torch on CUDA (imported only there).

Both offer multiply, add and subtract with `out=`, slicing and assignment, so that everything else is written once.
"""

from typing import Any, Protocol

import numpy as np
import scipy.fft
import warp as wp

from sim.errors import MissingDependencyError
from sim.precision import Precision

COMPLEX = {"float32": np.complex64, "float64": np.complex128}


class Arrays(Protocol):
    """What the solver asks of a device; transforms are over one axis, those "forward" divide by its length."""

    multiply: Any
    add: Any
    subtract: Any
    where: Any
    sqrt: Any

    def load(self, values: np.ndarray) -> Any:
        """A copy on the device."""

    def host(self, values: Any) -> np.ndarray:
        """A copy as NumPy."""

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any: ...

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any: ...

    def conj(self, values: Any) -> Any: ...

    def finite(self, values: Any) -> bool:
        """Whether every entry is."""

    def largest(self, values: Any) -> np.ndarray:
        """Largest magnitude of each environment [batch] of values [batch, ...]."""

    def mean(self, values: Any) -> np.ndarray:
        """Mean [batch] of values [batch, ...] on the points, in float64."""

    def forward_real(self, values: Any) -> Any: ...

    def backward_real(self, values: Any, count: int) -> Any: ...

    def forward(self, values: Any, axis: int) -> Any: ...

    def backward(self, values: Any, axis: int) -> Any: ...


class HostArrays:
    """NumPy arrays; SciPy's transforms, which were measured at least as fast as those of NumPy and torch here."""

    multiply, add, subtract = staticmethod(np.multiply), staticmethod(np.add), staticmethod(np.subtract)
    conj, where, sqrt = staticmethod(np.conj), staticmethod(np.where), staticmethod(np.sqrt)

    def load(self, values: np.ndarray) -> np.ndarray:
        return np.array(values, order="C")

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

    def forward_real(self, values: np.ndarray) -> np.ndarray:
        return scipy.fft.rfft(values, axis=-1, norm="forward", workers=1)

    def backward_real(self, values: np.ndarray, count: int) -> np.ndarray:
        return scipy.fft.irfft(values, n=count, axis=-1, norm="forward", workers=1)

    def forward(self, values: np.ndarray, axis: int) -> np.ndarray:
        return scipy.fft.fft(values, axis=axis, norm="forward", overwrite_x=True, workers=1)

    def backward(self, values: np.ndarray, axis: int) -> np.ndarray:
        return scipy.fft.ifft(values, axis=axis, norm="forward", workers=1)


class TorchArrays:
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

    def forward_real(self, values: Any) -> Any:
        return self.torch.fft.rfft(values, dim=-1, norm="forward")

    def backward_real(self, values: Any, count: int) -> Any:
        return self.torch.fft.irfft(values, n=count, dim=-1, norm="forward")

    def forward(self, values: Any, axis: int) -> Any:
        return self.torch.fft.fft(values, dim=axis, norm="forward")

    def backward(self, values: Any, axis: int) -> Any:
        return self.torch.fft.ifft(values, dim=axis, norm="forward")


def arrays_of(device: wp.Device) -> Arrays:
    """The arrays of a device."""
    return TorchArrays(wp.device_to_torch(device)) if device.is_cuda else HostArrays()


def complex_of(p: Precision) -> type:
    """The complex NumPy type of a precision."""
    return COMPLEX[p.name]
