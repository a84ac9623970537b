"""Comparisons that show whether a training method works: a case a file, run by `python -m benchmarks methods`."""

from benchmarks.methods import implicit_memory, implicit_time
from benchmarks.methods.method import Method

METHODS: dict[str, Method] = {method.name: method for method in (implicit_time.METHOD, implicit_memory.METHOD)}
