"""A small initrd for an arm64 Linux, made of Debian's busybox: `python scripts/linux_initrd.py OUT [--busybox DEB]`.

Nothing of it is committed. The package comes from apt (`dpkg --add-architecture arm64` once), or from a file that is already
there. What comes out is a "newc" cpio archive, compressed, the same bytes every time: no dates, no owners.

    /bin/busybox      one static program, and a link for each of its applets
    /init             mounts /proc, /sys and /dev, says that the shell is there, and powers off after it
"""

from __future__ import annotations

import argparse
import gzip
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["INIT", "archive", "busybox", "initrd"]

PACKAGE = "busybox-static:arm64"
DIRECTORY, FILE, LINK, CHARACTER = 0o040755, 0o100755, 0o120777, 0o020600
CONSOLE = (5, 1)  # major, minor: the kernel opens it for /init before anything is mounted
APPLETS = (
    "ash cat chmod cmp cp cut dd df dmesg echo env expr false find free grep halt head hexdump ifconfig insmod kill "
    "ln ls lsmod md5sum mkdir mknod mount mv nproc od ping poweroff ps pwd reboot rm route seq setsid sh sha256sum "
    "sleep sort stat stty sync tail test time timeout top touch tr true umount uname uptime usleep wc which yes "
    "cttyhack sed awk ip"
).split()
INIT = """#!/bin/sh
export PATH=/bin HOME=/ PS1='# '
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
echo "minivisor: a shell on $(uname -r), $(nproc) cpu"
setsid cttyhack sh
sync
poweroff -f
"""


def busybox(package: Path | None) -> bytes:
    """The arm64 program out of a Debian package, which apt fetches unless it is given."""
    with tempfile.TemporaryDirectory() as folder:
        if package is None:
            subprocess.run(["apt-get", "download", "-qq", PACKAGE], cwd=folder, check=True)
            package = next(Path(folder).glob("*.deb"))
        subprocess.run(["dpkg-deb", "-x", str(package), folder], check=True)
        return (Path(folder) / "bin" / "busybox").read_bytes()


def archive(entries: list[tuple[str, int, bytes, tuple[int, int]]]) -> bytes:
    """A "newc" cpio archive. entries: (path, mode, content, device), in order, folders first.

    Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
    """
    pieces = bytearray()
    for number, (path, mode, content, device) in enumerate([*entries, ("TRAILER!!!", 0, b"", (0, 0))], start=1):
        name = path.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name), 0)
        pieces += b"070701" + b"".join(b"%08x" % field for field in fields) + name
        pieces += b"\0" * (-len(pieces) % 4) + content
        pieces += b"\0" * (-len(pieces) % 4)
    return bytes(pieces)


def initrd(program: bytes, init: str = INIT) -> bytes:
    """The compressed archive around one busybox."""
    folders = [(name, DIRECTORY, b"", (0, 0)) for name in ("bin", "dev", "mnt", "proc", "sys", "tmp")]
    files = [("bin/busybox", FILE, program, (0, 0)), ("init", FILE, init.encode(), (0, 0))]
    links = [(f"bin/{applet}", LINK, b"busybox", (0, 0)) for applet in sorted(APPLETS)]
    return gzip.compress(archive([*folders, ("dev/console", CHARACTER, b"", CONSOLE), *files, *links]), mtime=0)


def main() -> None:
    parser = argparse.ArgumentParser(description="A small initrd for an arm64 Linux, made of Debian's busybox.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--busybox", type=Path, metavar="DEB", help="the package, if it is here already")
    chosen = parser.parse_args()
    if not shutil.which("dpkg-deb"):
        sys.exit("linux_initrd: no dpkg-deb; a Debian or Ubuntu was expected")
    program = busybox(chosen.busybox)
    chosen.out.write_bytes(initrd(program))
    version = re.search(rb"BusyBox v[\d.]+", program)
    print(f"{chosen.out}: {chosen.out.stat().st_size >> 10} KiB, {version.group().decode() if version else 'busybox'}")


if __name__ == "__main__":
    main()
