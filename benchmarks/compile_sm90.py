"""Compiles the MPM's kernels for an H100 or H200 (sm_90) without a GPU and limits the transfer adjoints' registers.

`python -m benchmarks.compile_sm90 [--dtype float32|float64] [--limit 128]` prints registers and stack of each kernel
and ends with status 1 when a transfer adjoint takes more registers than the limit, or any stack. More than 128
registers leave room for fewer than two blocks of 256 threads on a multiprocessor; a stack means spills to memory.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import warp as wp

from benchmarks.cubin import Resources, resources

ARCHITECTURE = 90
LIMIT = 128  # 64k registers of a multiprocessor over two blocks of 256 threads
TRANSFER_ADJOINTS = ("p2g_vjp", "g2p_vjp")


class Compiled(NamedTuple):
    """A kernel's name and what a thread of it takes."""

    name: str
    resources: Resources


def short_name(kernel: wp.Kernel) -> str:
    """The name of the kernel's own function, without the factory that made it."""
    return kernel.key.rsplit("__", 1)[-1]


def compile_kernel(kernel: wp.Kernel, folder: Path) -> Compiled:
    """Compile the kernel's module for sm_90 and read its forward entry."""
    files = wp.compile_aot_module(kernel.module, arch=ARCHITECTURE, module_dir=folder, use_ptx=False)
    cubin = next(file for file in files if file.suffix == ".cubin")
    found = {name: used for name, used in resources(cubin).items() if name.endswith("_forward") and kernel.key in name}
    return Compiled(short_name(kernel), next(iter(found.values())))


def compile_all(kernels: Iterable[wp.Kernel]) -> list[Compiled]:
    """All kernels, compiled into a folder that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="pliant-sm90-") as folder:
        return [compile_kernel(kernel, Path(folder)) for kernel in kernels]


def breaks_limit(compiled: Compiled, limit: int = LIMIT) -> bool:
    """Whether this is a transfer adjoint with too many registers or a stack."""
    held = compiled.name in TRANSFER_ADJOINTS
    return held and (compiled.resources.registers > limit or compiled.resources.stack > 0)


def table(compiled: Iterable[Compiled], limit: int = LIMIT) -> str:
    """Name, registers, stack and verdict, a line each."""
    lines = [f"{'kernel':32} {'registers':>9} {'stack':>6}"]
    for one in compiled:
        verdict = ""
        if one.name in TRANSFER_ADJOINTS:
            verdict = "falls short" if breaks_limit(one, limit) else "holds"
        lines.append(f"{one.name:32} {one.resources.registers:9} {one.resources.stack:6}  {verdict}".rstrip())
    return "\n".join(lines)


def main() -> None:
    from pliant.sim.mpm.kernels import all_kernels
    from pliant.sim.precision import precision

    parser = argparse.ArgumentParser(prog="python -m benchmarks.compile_sm90", description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--limit", type=int, default=LIMIT, help="registers allowed to a transfer adjoint")
    options = parser.parse_args()
    compiled = compile_all(all_kernels(precision(options.dtype)))
    print(table(compiled, options.limit))
    short = [one.name for one in compiled if breaks_limit(one, options.limit)]
    if short:
        sys.exit(f"sm_{ARCHITECTURE}: {', '.join(short)} exceed {options.limit} registers or use a stack.")


if __name__ == "__main__":
    main()
