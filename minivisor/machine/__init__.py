"""Silicon: what hardware does. The only package that imports Unicorn, Numba and LLVM."""
