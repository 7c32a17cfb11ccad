"""Silicon: what hardware does. The only package that imports Unicorn and Numba."""
