"""Fourier transforms on the CPU that write where they are told.

SciPy's public functions allocate their result and take five microseconds a call to find out what they were given, which
for small fields is as long as the transform. The routine below them takes an output array, so it is called directly where it
is as expected, and the public functions are used where it is not.
"""

from typing import Any

import numpy as np
import scipy.fft

try:
    from scipy.fft._pocketfft import pypocketfft as _direct
except ImportError:
    _direct = None

_PLAIN, _SCALED = 0, 2  # normalisation by 1 and by 1 / n


def forward_real(values: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Coefficients of real values along the last axis, divided by its length."""
    if DIRECT:
        return _direct.r2c(values, (values.ndim - 1,), True, _SCALED, out, 1)
    out[...] = scipy.fft.rfft(values, axis=-1, norm="forward", workers=1)
    return out


def backward_real(coefficients: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Real values of coefficients along the last axis."""
    if DIRECT:
        axis = coefficients.ndim - 1
        return _direct.c2r(coefficients, (axis,), out.shape[axis], False, _PLAIN, out, 1)
    out[...] = scipy.fft.irfft(coefficients, n=out.shape[-1], axis=-1, norm="forward", workers=1)
    return out


def forward(values: np.ndarray, axis: int, out: np.ndarray) -> np.ndarray:
    """Coefficients of complex values along an axis, divided by its length; `out` may be `values`."""
    if DIRECT:
        return _direct.c2c(values, (values.ndim + axis,), True, _SCALED, out, 1)
    out[...] = scipy.fft.fft(values, axis=axis, norm="forward", workers=1)
    return out


def backward(coefficients: np.ndarray, axis: int, out: np.ndarray) -> np.ndarray:
    """Complex values of coefficients along an axis."""
    if DIRECT:
        return _direct.c2c(coefficients, (coefficients.ndim + axis,), False, _PLAIN, out, 1)
    out[...] = scipy.fft.ifft(coefficients, axis=axis, norm="forward", workers=1)
    return out


def _is_as_expected(module: Any) -> bool:
    """Whether the routine below SciPy's functions takes these arguments and gives their results."""
    x, made = np.arange(4.0), np.empty(3, complex)
    back, turned = np.empty(4), np.empty(3, complex)
    try:
        module.r2c(x, (0,), True, _SCALED, made, 1)
        module.c2r(made, (0,), 4, False, _PLAIN, back, 1)
        module.c2c(made, (0,), False, _PLAIN, turned, 1)
    except (AttributeError, TypeError, ValueError):
        return False
    return bool(
        np.allclose(made, np.fft.rfft(x) / 4) and np.allclose(back, x) and np.allclose(turned, 3 * np.fft.ifft(made))
    )


DIRECT = _is_as_expected(_direct)
