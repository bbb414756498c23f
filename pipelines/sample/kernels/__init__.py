"""Numba kernels of the sample generator: draws, and encoders that write bytes. Arrays only."""
