"""The gradient of a scalar network over blocks of rows as native code for CPUs, with products of its second derivatives.

    y = g'(x) + sum_m c_m (D_m * x + b_m) - (r . g'(0)) e,   g(x) = w . softplus(z2),   e the last unit vector
    z1 = W1 x + b1,   z2 = W2 softplus(z1) + b2,   g'(x) = W1^T (s1 * W2^T (s2 * w)),   s = sigmoid(z)

is what a stress is made of where it has an energy: g' of a network, analytic terms with moduli c, and what makes rest free of
stress. With a the adjoint of y, g' . a is the derivative of g along a; a dot marks the derivative of a quantity along a.

What a block of rows adds to the gradient of a weight through g'(x) and through g'(0) nearly cancels near rest. Both are taken
together, block by block: summed apart over a run, they would leave two digits in single precision.
"""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch

from pliant.learn.native.activations import activation_source
from pliant.learn.native.dense import (
    ACTIVATE,
    PRODUCT,
    ROW_SUMS,
    ROWS,
    Layout,
    NetworkKernels,
    block_source,
    network_kernels,
    padded,
    starts,
)
from pliant.learn.native.lanes import HEAD, REGISTER
from pliant.sim.precision import Precision

TERMS = 2  # analytic ones
HIGH = 1e3  # from where torch takes softplus(z) for z
PIECES = (
    "FIRST", "FIRST_BIAS", "SECOND", "SECOND_BIAS", "LAST", "FACTORS",
    "REST_FIRST", "REST_FIRST_BIAS", "REST_SECOND", "REST_SECOND_BIAS", "REST_LAST",
    "STIFFNESS", "OFFSET", "SLOPES", "OFFSETS", "FIRST_TRANSPOSED", "SECOND_TRANSPOSED",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class GradientShape:
    """Number of features, which is also that of the gradient's entries, and width of the two hidden layers."""

    size: int
    hidden: int

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.size, self.size)

    def layout(self, p: Precision) -> Layout:
        """In `weights` the pieces that `PIECES` names; in `kept` softplus(z1), s1 and s2 of a block."""
        k, h = padded(self.size, p), padded(self.hidden, p)
        trained = [h * k, h, h * h, h, h]
        weights = [*trained, padded(TERMS, p), *trained, k, k, TERMS * k, TERMS * k, k * h, h * h]
        return Layout(widths=(k, k), weights=starts(weights), transposed=(0, 1), kept=starts([3 * ROWS * h]))

    def kernels(self, p: Precision) -> NetworkKernels:
        return _kernels(self, p)

    def views(self, layout: Layout, flat: torch.Tensor) -> list[torch.Tensor]:
        """What is packed, in the order of `PIECES`, without the padding."""
        k, h = self.size, self.hidden
        trained = [(h, k), (h,), (h, h), (h,), (h,)]
        sizes = [*trained, (TERMS,), *trained, (k,), (k,), (TERMS, k), (TERMS, k), (k, h), (h, h)]
        parts = [flat[a:b] for a, b in itertools.pairwise(layout.weights)]
        widths = {k: layout.widths[0], h: layout.weights[2] - layout.weights[1]}
        return [
            part[: size[0]] if len(size) == 1 else part.view(-1, widths[size[1]])[: size[0], : size[1]]
            for part, size in zip(parts, sizes, strict=True)
        ]


class ScalarGradient(NamedTuple):
    """W1, b1, W2, b2, w, and c [2] as torch holds them, which are trained, and D [2, size], b [2, size], r [size]."""

    first: torch.Tensor
    first_bias: torch.Tensor
    second: torch.Tensor
    second_bias: torch.Tensor
    last: torch.Tensor
    factors: torch.Tensor
    slopes: torch.Tensor
    offsets: torch.Tensor
    rest: torch.Tensor

    @property
    def shape(self) -> GradientShape:
        return GradientShape(self.first.shape[1], len(self.last))

    def pack(self, layout: Layout, weights: torch.Tensor) -> None:
        """Write everything; what r . g'(0) is, and its gradient, in double precision."""
        pressure, through = self._at_rest()
        with torch.no_grad():
            stiffness, offset = self.factors @ self.slopes, self.factors @ self.offsets
            offset[-1] -= pressure
            made = (*self[:6], *through, stiffness, offset, self.slopes, self.offsets, self.first.T, self.second.T)
            for view, value in zip(self.shape.views(layout, weights), made, strict=True):
                view.copy_(value)

    @staticmethod
    def gradients(shape: GradientShape, layout: Layout, flat: torch.Tensor) -> list[torch.Tensor]:
        """Gradients with respect to W1, b1, W2, b2, w and c in a flat array."""
        return shape.views(layout, flat)[:6]

    def _at_rest(self) -> tuple[torch.Tensor, Sequence[torch.Tensor]]:
        """r . g'(0), and its gradient with respect to W1, b1, W2, b2 and w."""
        W1, b1, W2, b2, w = trained = [t.detach().double().requires_grad_() for t in self[:5]]
        with torch.enable_grad():
            h = torch.nn.functional.softplus(b1, threshold=HIGH)
            s1, s2 = torch.sigmoid(b1), torch.sigmoid(W2 @ h + b2)
            pressure = self.rest.double() @ (((w * s2) @ W2 * s1) @ W1)
            return pressure.detach(), torch.autograd.grad(pressure, trained)


@functools.cache
def _kernels(shape: GradientShape, p: Precision) -> NetworkKernels:
    plain, keeping = (_evaluate_source(shape, p, keep=keep) for keep in (False, True))
    return network_kernels(plain, keeping, _pull_back_source(shape, p), p)


# Pointwise steps between products; each pointer is to a block of rows.
_STEPS = """
    auto weighted = [](REAL* made, const REAL* row, const REAL* s, int width) {
        for (int r = 0; r < ROWS; ++r)
            for (int c = 0; c < width; c += lanes)
                *(U*)(made + r * width + c) = *(const U*)(row + c) * *(const U*)(s + r * width + c);
    };
    auto times_to = [](REAL* made, const REAL* a, const REAL* b, int count) {
        for (int i = 0; i < count; i += lanes) *(U*)(made + i) = *(const U*)(a + i) * *(const U*)(b + i);
    };
    auto add_weighted = [](REAL* made, const REAL* row, const REAL* a, int width) {
        for (int r = 0; r < ROWS; ++r)
            for (int c = 0; c < width; c += lanes)
                *(U*)(made + r * width + c) += *(const U*)(row + c) * *(const U*)(a + r * width + c);
    };
    auto bent = [](REAL* made, const REAL* q, const REAL* s, const REAL* dot, int count) {
        for (int i = 0; i < count; i += lanes)
            *(U*)(made + i) = *(const U*)(q + i) * ((REAL)1 - *(const U*)(s + i)) * *(const U*)(dot + i);
    };
    auto add_times = [](REAL* made, const REAL* a, const REAL* b, int count) {
        for (int i = 0; i < count; i += lanes) *(U*)(made + i) += *(const U*)(a + i) * *(const U*)(b + i);
    };
    auto sum_products = [](const REAL* a, const REAL* b, int width, REAL* made) {
        for (int c = 0; c < width; c += lanes) {
            V s = *(U*)(made + c);
            for (int r = 0; r < ROWS; ++r) s += *(const U*)(a + r * width + c) * *(const U*)(b + r * width + c);
            *(U*)(made + c) = s;
        }
    };
"""

_EVALUATE = """
    const size_t at = block;
    const REAL* input = x.data + at * ROWS * WIDTH;
    REAL* output = y.data + at * ROWS * WIDTH;
    REAL* h1 = kept.data + HOLD;
    REAL* s1 = h1 + ROWS * HIDDEN_WIDTH;
    REAL* s2 = s1 + ROWS * HIDDEN_WIDTH;
    alignas(REGISTER) REAL u[ROWS * HIDDEN_WIDTH];
    alignas(REGISTER) REAL v[ROWS * HIDDEN_WIDTH];
    product(input, WIDTH, 1, FIRST_TRANSPOSED, HIDDEN_WIDTH, SIZE, h1, HIDDEN_WIDTH, ROWS, FIRST_BIAS, false);
    activate_all(h1, s1, ROWS * HIDDEN_WIDTH);
    product(h1, HIDDEN_WIDTH, 1, SECOND_TRANSPOSED, HIDDEN_WIDTH, HIDDEN, u, HIDDEN_WIDTH, ROWS, SECOND_BIAS, false);
    activate_all(u, s2, ROWS * HIDDEN_WIDTH);
    weighted(u, LAST, s2, HIDDEN_WIDTH);
    product(u, HIDDEN_WIDTH, 1, SECOND, HIDDEN_WIDTH, HIDDEN, v, HIDDEN_WIDTH, ROWS, nullptr, false);
    times(v, s1, ROWS * HIDDEN_WIDTH);
    product(v, HIDDEN_WIDTH, 1, FIRST, WIDTH, HIDDEN, output, WIDTH, ROWS, OFFSET, false);
    add_weighted(output, STIFFNESS, input, WIDTH);
"""

# q1, q2 are the derivatives of y . a with respect to the dotted z1, z2, and r1, r2 those with respect to z1, z2.
_PULL_BACK = """
    const size_t at = block;
    const REAL* input = x.data + at * ROWS * WIDTH;
    const REAL* a = dy.data + at * ROWS * WIDTH;
    REAL* target = dx.data + at * ROWS * WIDTH;
    const REAL* h1 = kept.data + HOLD;
    const REAL* s1 = h1 + ROWS * HIDDEN_WIDTH;
    const REAL* s2 = s1 + ROWS * HIDDEN_WIDTH;
    alignas(REGISTER) REAL room[6][ROWS * HIDDEN_WIDTH];
    REAL *z1_dot = room[0], *h_dot = room[1], *z2_dot = room[2], *q2 = room[3], *r2 = room[4], *q1 = room[5];
    const int count = ROWS * HIDDEN_WIDTH;
    product(a, WIDTH, 1, FIRST_TRANSPOSED, HIDDEN_WIDTH, SIZE, z1_dot, HIDDEN_WIDTH, ROWS, nullptr, false);
    times_to(h_dot, s1, z1_dot, count);
    product(h_dot, HIDDEN_WIDTH, 1, SECOND_TRANSPOSED, HIDDEN_WIDTH, HIDDEN, z2_dot, HIDDEN_WIDTH, ROWS, nullptr, false);
    weighted(q2, LAST, s2, HIDDEN_WIDTH);
    bent(r2, q2, s2, z2_dot, count);
    product(q2, HIDDEN_WIDTH, 1, SECOND, HIDDEN_WIDTH, HIDDEN, q1, HIDDEN_WIDTH, ROWS, nullptr, false);
    times(q1, s1, count);
    sum_products(s2, z2_dot, HIDDEN_WIDTH, D_LAST);
    product(q2, 1, HIDDEN_WIDTH, h_dot, HIDDEN_WIDTH, ROWS, D_SECOND, HIDDEN_WIDTH, HIDDEN_WIDTH, nullptr, true);
    product(r2, 1, HIDDEN_WIDTH, h1, HIDDEN_WIDTH, ROWS, D_SECOND, HIDDEN_WIDTH, HIDDEN_WIDTH, nullptr, true);
    sum_rows(r2, HIDDEN_WIDTH, D_SECOND_BIAS);
    REAL* r1 = z2_dot;
    REAL* pulled = q2;
    product(r2, HIDDEN_WIDTH, 1, SECOND, HIDDEN_WIDTH, HIDDEN, pulled, HIDDEN_WIDTH, ROWS, nullptr, false);
    bent(r1, q1, s1, z1_dot, count);
    add_times(r1, pulled, s1, count);
    product(q1, 1, HIDDEN_WIDTH, a, WIDTH, ROWS, D_FIRST, WIDTH, HIDDEN_WIDTH, nullptr, true);
    product(r1, 1, HIDDEN_WIDTH, input, WIDTH, ROWS, D_FIRST, WIDTH, HIDDEN_WIDTH, nullptr, true);
    sum_rows(r1, HIDDEN_WIDTH, D_FIRST_BIAS);
    REAL pressure = 0;
    for (int r = 0; r < ROWS; ++r) pressure += a[r * WIDTH + SIZE - 1];
    for (int i = 0; i < TRAINED; i += lanes) *(U*)(D_FIRST + i) -= pressure * *(const U*)(REST_FIRST + i);
    for (int m = 0; m < TERMS; ++m) {
        REAL total = 0;
        for (int r = 0; r < ROWS; ++r) {
            REAL one = 0;
            for (int j = 0; j < SIZE; ++j)
                one += a[r * WIDTH + j] * (SLOPES[m * WIDTH + j] * input[r * WIDTH + j] + OFFSETS[m * WIDTH + j]);
            total += one;
        }
        D_FACTORS[m] += total;
    }
    product(r1, HIDDEN_WIDTH, 1, FIRST, WIDTH, HIDDEN, target, WIDTH, ROWS, nullptr, false);
    add_weighted(target, STIFFNESS, a, WIDTH);
"""


def _evaluate_source(shape: GradientShape, p: Precision, *, keep: bool) -> str:
    helpers = HEAD + activation_source("softplus", p) + PRODUCT + ACTIVATE + ROW_SUMS + _STEPS
    return _filled(helpers, _EVALUATE, shape, p, keep=keep)


def _pull_back_source(shape: GradientShape, p: Precision) -> str:
    return _filled(HEAD + PRODUCT + ROW_SUMS + _STEPS, _PULL_BACK, shape, p, keep=True)


def _filled(helpers: str, body: str, shape: GradientShape, p: Precision, *, keep: bool) -> str:
    """The native code with places and widths for names."""
    layout = shape.layout(p)
    names = {name: f"(weights.data + {layout.weights[i]})" for i, name in enumerate(PIECES)}
    names |= {f"D_{name}": f"(dweights.data + {layout.weights[i]})" for i, name in enumerate(PIECES)}
    names |= {"HOLD": f"at * {layout.kept[-1]}" if keep else "0", "REGISTER": str(REGISTER)}
    hidden = layout.weights[2] - layout.weights[1]
    widths = {"WIDTH": layout.widths[0], "HIDDEN_WIDTH": hidden, "SIZE": shape.size, "HIDDEN": shape.hidden}
    widths |= {"TRAINED": layout.weights[5], "TERMS": TERMS}
    names |= {name: str(value) for name, value in widths.items()}
    for name in sorted(names, key=len, reverse=True):
        body = body.replace(name, names[name])
    return block_source(helpers, body.splitlines(), p)
