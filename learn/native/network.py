"""A dense network evaluated on rows of numbers outside a rollout's launches: its weights, buffers and what to launch."""

from collections.abc import Sequence

import warp as wp

from pliant.learn.native.dense import ROWS, NetworkShape
from pliant.sim.precision import Precision
from pliant.sim.program import Program


class NetworkWeights:
    """The packed weights of a network, and its kernels."""

    def __init__(self, shape: NetworkShape, p: Precision):
        self.shape, self.precision, self.layout = shape, p, shape.layout(p)
        self.kernels = shape.kernels(p)
        self.weights = wp.zeros(self.layout.weights[-1], dtype=p.real, device="cpu")
        self.transposed = wp.zeros(self.layout.transposed[-1], dtype=p.real, device="cpu")


class NetworkRoom:
    """Buffers for a number of rows; with `keep`, also for what the product needs.

    NumPy arrays in shared memory: x [rows, inputs] and dy [rows, outputs] to write, y and dx to read, and dweights,
    packed, which `pull_back` adds to.
    """

    def __init__(self, network: NetworkWeights, rows: int, *, keep: bool):
        self._network, self._rows, self._blocks = network, rows, -(-rows // ROWS)
        layout, sizes, kernels = network.layout, network.shape.sizes, network.kernels
        x, y = (self._new(self._blocks * ROWS * layout.widths[end]) for end in (0, -1))
        kept = self._new(layout.kept[-1] * (self._blocks if keep else 1))
        kernel = kernels.evaluate_and_keep if keep else kernels.evaluate
        self.evaluate = self._program(kernel, [network.weights, network.transposed, x, kept, y])
        self.x, self.y = self._part(x, sizes[0]), self._part(y, sizes[-1])
        if keep:
            dy, dx, dweights = self._new(len(y)), self._new(len(x)), self._new(layout.weights[-1])
            self.pull_back = self._program(kernels.pull_back, [network.weights, x, kept, dy, dweights, dx])
            self.dy, self.dx, self.dweights = self._part(dy, sizes[-1]), self._part(dx, sizes[0]), dweights.numpy()

    def _new(self, size: int) -> wp.array:
        return wp.zeros(size, dtype=self._network.precision.real, device="cpu")

    def _program(self, kernel: wp.Kernel, arguments: Sequence):
        program = Program(wp.get_device("cpu"), 1)
        program.launch(0, kernel, self._blocks, arguments)
        return program.run

    def _part(self, flat: wp.array, columns: int):
        """The rows and columns in use."""
        return flat.numpy().reshape(self._blocks * ROWS, -1)[: self._rows, :columns]
