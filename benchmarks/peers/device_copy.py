"""Bandwidth of a plain copy on a device: the roof for a step that is bound by memory."""

import time

import warp as wp

from benchmarks.peers.problem import Problem
from benchmarks.peers.serve import serve

COPIES = 20


class DeviceCopy:
    """Copies `megabytes` within the device's memory."""

    def __init__(self, _problem: Problem, *, device: str = "cuda", megabytes: int = 512) -> None:
        self.device = wp.get_device(device)
        count = megabytes * 1_000_000 // 4
        self.source = wp.zeros(count, dtype=wp.float32, device=self.device)
        self.target = wp.empty_like(self.source)
        self.bandwidth = 0.0

    def copy(self) -> None:
        wp.synchronize_device(self.device)
        start = time.perf_counter()
        for _ in range(COPIES):
            wp.copy(self.target, self.source)
        wp.synchronize_device(self.device)
        moved = 2 * COPIES * 4 * self.source.size
        self.bandwidth = moved / (time.perf_counter() - start) / 1e9

    def figures(self) -> dict[str, float]:
        return {"gigabytes_a_second": self.bandwidth}


if __name__ == "__main__":
    wp.config.quiet = True
    serve(DeviceCopy)
