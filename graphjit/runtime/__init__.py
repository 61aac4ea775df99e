"""Runs compiled kernels: object code, its cache, the native runner, library kernels, programs.

Nothing here imports Numba until a kernel has to be compiled.
"""
