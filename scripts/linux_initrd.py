"""A small initrd for an arm64 Linux, made of Debian's busybox: `python scripts/linux_initrd.py OUT [--modules virtio_blk,…]`.

Nothing of it is committed. The package comes from apt (`dpkg --add-architecture arm64` once), or from a file that is already
there. What comes out is a "newc" cpio archive, compressed, the same bytes every time: no dates, no owners.

    /bin/busybox      one static program, and a link for each of its applets
    /lib/modules      kernel modules in the order in which they load, if wanted: Debian's kernel has virtio devices as modules
    /init             mounts /proc, /sys and /dev, loads those, says that the shell is there, and powers off after it
"""

from __future__ import annotations

import argparse
import gzip
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["INIT", "archive", "busybox", "initrd", "modules"]

PACKAGE = "busybox-static:arm64"
KERNEL = Path("/usr/lib/debian-installer/images/12/arm64/text/debian-installer/arm64/linux")
PLAIN, DIRECTORY, FILE, LINK, CHARACTER = 0o100644, 0o040755, 0o100755, 0o120777, 0o020600
CONSOLE = (5, 1)  # major, minor: the kernel opens it for /init before anything is mounted
APPLETS = (
    "ash cat chmod cmp cp cut dd df dmesg echo env expr false find free grep halt head hexdump ifconfig insmod kill "
    "ln ls lsmod md5sum mkdir mknod mount mv nproc od ping poweroff ps pwd reboot rm route seq setsid sh sha256sum "
    "sleep sort stat stty sync tail test time timeout top touch tr true umount uname uptime usleep wc which yes "
    "cttyhack sed awk ip mke2fs fstrim"
).split()
INIT = """#!/bin/sh
export PATH=/bin HOME=/ PS1='# '
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in /lib/modules/*; do [ -f "$module" ] && insmod "$module"; done
echo "minivisor: a shell on $(uname -r), $(nproc) cpu"
setsid cttyhack sh
sync
poweroff -f
"""


@contextmanager
def unpacked(name: str, package: Path | None) -> Iterator[Path]:
    """The files of a Debian package, which apt fetches by its name unless it is given."""
    with tempfile.TemporaryDirectory() as folder:
        if package is None:
            subprocess.run(["apt-get", "download", "-qq", name], cwd=folder, check=True)
            package = next(Path(folder).glob("*.deb"))
        subprocess.run(["dpkg-deb", "-x", str(package), folder], check=True)
        yield Path(folder)


def busybox(package: Path | None) -> bytes:
    """The arm64 program out of a Debian package."""
    with unpacked(PACKAGE, package) as folder:
        return (folder / "bin" / "busybox").read_bytes()


def kernel_package(kernel: Path) -> str:
    """The package with the modules of a kernel, by the version in its Image."""
    found = re.search(rb"Linux version (\S+) \(", kernel.read_bytes())
    if found is None:
        sys.exit(f"linux_initrd: {kernel} does not say which version it is; an arm64 Image was expected")
    return f"linux-image-{found[1].decode()}:arm64"


def modules(folder: Path, wanted: list[str]) -> list[tuple[str, bytes]]:
    """(name, content) of kernel modules below a folder, each after those it depends on."""
    files = {path.stem.replace("-", "_"): path for path in folder.rglob("*.ko")}
    found: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in found or not name:
            return
        if name not in files:
            sys.exit(f"linux_initrd: no module {name}; one of {len(files)} in the kernel's package was expected")
        content = files[name].read_bytes()
        depends = re.search(rb"\0depends=([^\0]*)", content)
        for other in depends[1].decode().split(",") if depends else []:
            add(other.replace("-", "_"))
        found[name] = content

    for name in wanted:
        add(name.replace("-", "_"))
    return list(found.items())


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


def initrd(program: bytes, init: str = INIT, kernel_modules: Sequence[tuple[str, bytes]] = ()) -> bytes:
    """The compressed archive around one busybox."""
    names = ("bin", "dev", "lib", "lib/modules", "mnt", "proc", "sys", "tmp")
    folders = [(name, DIRECTORY, b"", (0, 0)) for name in names]
    files = [("bin/busybox", FILE, program, (0, 0)), ("init", FILE, init.encode(), (0, 0))]
    loaded = enumerate(kernel_modules)
    files += [(f"lib/modules/{at:03}-{name}.ko", PLAIN, content, (0, 0)) for at, (name, content) in loaded]
    links = [(f"bin/{applet}", LINK, b"busybox", (0, 0)) for applet in sorted(APPLETS)]
    return gzip.compress(archive([*folders, ("dev/console", CHARACTER, b"", CONSOLE), *files, *links]), mtime=0)


def main() -> None:
    parser = argparse.ArgumentParser(description="A small initrd for an arm64 Linux, made of Debian's busybox.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--busybox", type=Path, metavar="DEB", help="the package, if it is here already")
    parser.add_argument(
        "--modules", default="", metavar="NAME,…", help="kernel modules to load, with what they depend on"
    )
    parser.add_argument(
        "--kernel", type=Path, default=KERNEL, metavar="IMAGE", help="whose modules, Debian's installer's unless given"
    )
    parser.add_argument(
        "--kernel-package", type=Path, metavar="DEB", help="the package of that kernel, if it is here already"
    )
    chosen = parser.parse_args()
    if not shutil.which("dpkg-deb"):
        sys.exit("linux_initrd: no dpkg-deb; a Debian or Ubuntu was expected")
    program = busybox(chosen.busybox)
    loaded: list[tuple[str, bytes]] = []
    if chosen.modules:
        with unpacked(kernel_package(chosen.kernel), chosen.kernel_package) as folder:
            loaded = modules(folder, chosen.modules.split(","))
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_bytes(initrd(program, INIT, loaded))
    version = re.search(rb"BusyBox v[\d.]+", program)
    print(f"{chosen.out}: {chosen.out.stat().st_size >> 10} KiB, {version.group().decode() if version else 'busybox'}")


if __name__ == "__main__":
    main()
