"""The same explicit MLS-MPM substep in NumPy, Taichi, PyTorch and Pliant, each run in a process of its own."""
