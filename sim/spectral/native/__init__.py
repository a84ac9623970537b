"""A step as a list of array operations that one compiled loop replays, with real Fourier transforms of many rows at once."""
