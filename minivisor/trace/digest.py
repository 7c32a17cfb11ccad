"""The digest of a trace: the same for two runs exactly when they did the same things at the same virtual times.

    digest = blake2b( blake2b(rows) ‖ blake2b(texts) ‖ number of rows )

Rows are hashed as they lie in memory (little-endian, whatever the host) without their last column, the host's cost.
Texts are hashed apart, because rows are hashed by the chunk and texts as they come. Metadata is left out on purpose:
the MMU engine is in it, and must not matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from minivisor.trace.row import DIGEST_BYTES, DTYPE, Rows

__all__ = ["Digest", "digest_of"]


class Digest:
    """An incremental digest over rows."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=32)
        self._rows = 0

    def update(self, rows: Rows) -> None:
        """Take in the next rows of the run."""
        covered = np.ascontiguousarray(rows).view(np.uint8).reshape(-1, DTYPE.itemsize)[:, :DIGEST_BYTES]
        self._hash.update(covered.tobytes())
        self._rows += len(rows)

    def copy(self) -> Digest:
        other = Digest()
        other._hash, other._rows = self._hash.copy(), self._rows
        return other

    def hexdigest(self, texts: Sequence[str]) -> str:
        """32 hexadecimal digits over the rows so far and these texts."""
        words = hashlib.blake2b(digest_size=32)
        for text in texts:
            encoded = text.encode("utf-8", "backslashreplace")
            words.update(len(encoded).to_bytes(8, "little") + encoded)
        whole = self._hash.digest() + words.digest() + self._rows.to_bytes(8, "little")
        return hashlib.blake2b(whole, digest_size=16).hexdigest()


def digest_of(rows: Rows, texts: Sequence[str]) -> str:
    """The digest of a trace that holds these rows and texts, and has lost none."""
    whole = Digest()
    whole.update(rows)
    return whole.hexdigest(texts)
