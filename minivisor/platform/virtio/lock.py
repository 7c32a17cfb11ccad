"""A lock on an open file, so that two guests, or two programs, do not write one disk.

The operating system holds it: it ends with the file handle, also when the process is killed, and nothing is left behind.
POSIX has shared and exclusive locks on whole files; Windows locks bytes, exclusively, so there even two readers keep each
other out. The one module that knows the difference.
"""

from __future__ import annotations

import sys

__all__ = ["lock"]

if sys.platform == "win32":
    import msvcrt

    BYTE = 0x7FFF_0000  # the byte that stands for the file; it need not exist

    def lock(descriptor: int, shared: bool) -> bool:
        """Lock an open file without waiting. False when somebody else has it."""
        import os

        os.lseek(descriptor, BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def lock(descriptor: int, shared: bool) -> bool:
        """Lock an open file without waiting. False when somebody else has it."""
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
