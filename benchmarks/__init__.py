"""Speed, memory and compilation time of Pliant beside its peers: `python -m benchmarks`."""
