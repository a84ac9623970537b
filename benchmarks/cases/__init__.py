"""The benchmark cases by name."""

from benchmarks.case import Case
from benchmarks.cases import active, checkpoints, compilation, fields, gpu, laws, memory, size, throughput

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        throughput.CASE,
        checkpoints.CASE,
        laws.FIXED_COROTATED,
        laws.TORCH_LAW,
        laws.LEARNED_LAWS,
        laws.LEARNED_LAWS_MEMORY,
        compilation.COLD,
        compilation.FIRST_GRADIENT,
        compilation.FIRST_GRADIENT_TAICHI,
        memory.CASE,
        size.CASE,
        gpu.CASE,
        fields.NAVIER_STOKES,
        fields.KURAMOTO_SIVASHINSKY,
        active.STEP,
        active.PUBLISHED,
    )
}
