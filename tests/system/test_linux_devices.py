"""Debian's Linux with its own virtio drivers: it mounts and writes a disk, pings, reads noise, keys and touches.

A boot takes ten seconds and more, so this runs in CI, and elsewhere after `make linux` with MINIVISOR_LINUX set.
"""

from __future__ import annotations

import os
import re
from hashlib import md5
from pathlib import Path

import pytest

from minivisor import cli
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import FRAMEBUFFER_ROOM, RAM, PersonaSettings
from minivisor.machine.board import Machine
from minivisor.platform.image import load_image, with_initrd
from minivisor.platform.virtio.input import Keyboard, Touch
from tests.conftest import CI, LINUX_INITRD, LINUX_KERNEL

WANTED = CI or "MINIVISOR_LINUX" in os.environ
pytestmark = [
    pytest.mark.needs("linux"),
    pytest.mark.skipif(not WANTED, reason="NOT RUN: whole boots of Linux, in CI or with MINIVISOR_LINUX set"),
]

MIB, SECOND = 1 << 20, 10**9
MARK, NEWLINE, LINES = b"written by the guest", b"\n", 20_000
BOOTED = "3s"  # of virtual time: the shell waits


@pytest.fixture
def linux(capfd):
    """Run Debian's kernel; `lines` are typed into its shell. Returns (status, what it printed, summary)."""

    def run(*arguments: str, lines: list[str], append: str = "console=ttyAMA0") -> tuple[int, str, str]:
        typed = r"\n".join([*lines, "exit", ""])
        given = [
            "--initrd",
            str(LINUX_INITRD),
            "--memory",
            "256M",
            "--append",
            f"{append} quiet",
            "--headless",
            "--for",
            "30s",
        ]
        status = cli.run(["run", str(LINUX_KERNEL), *given, *arguments, "--type", f"{typed}@{BOOTED}"])
        captured = capfd.readouterr()
        return status, captured.out.replace("\r", ""), captured.err

    return run


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


DISK = [
    "mke2fs -q /dev/vda; mount -t ext4 /dev/vda /mnt",
    f"for n in $(seq {LINES}); do echo {MARK.decode()}; done > /mnt/file; sync",
    "echo 3 > /proc/sys/vm/drop_caches; echo sum $(md5sum < /mnt/file); umount /mnt",
    "fstrim /mnt; dd if=/dev/zero of=/dev/vdb count=1; cat /proc/partitions",
    "ifconfig eth0 10.0.2.15 up; ping -c 3 10.0.2.2",
    "echo noise $(dd if=/dev/hwrng bs=16 count=1 2>/dev/null | od -An -tx1)",
    "cat /proc/interrupts; dmesg | grep -iE 'warn|oops|error|virtio'",
]


def with_everything(linux, folder: Path, *arguments: str) -> tuple[str, bytes, str]:
    """(what it printed, the disk afterwards, the trace's digest)."""
    disk, other = sparse(folder / "disk.img", 16 * MIB), sparse(folder / "other.img", MIB)
    devices = ["--disk", str(disk), "--disk", f"{other}:ro", "--net", "--rng"]
    status, out, err = linux(*devices, *arguments, lines=DISK)
    assert status == 0 and "waits for a reset" not in err
    assert not any(other.read_bytes())
    return out, disk.read_bytes(), re.search(r"trace ([0-9a-f]+)", err)[1]


@pytest.mark.parametrize("arguments", [(), ("--smp", "2", "--gic", "3")])
def test_it_mounts_and_writes_a_disk_pings_and_hears_noise(linux, tmp_path, arguments):
    out, disk, digest = with_everything(linux, tmp_path, *arguments)
    assert f"254        0{16384:>11} vda" in out and f"254       16{1024:>11} vdb" in out
    assert f"sum {md5((MARK + NEWLINE) * LINES).hexdigest()}" in out
    assert disk.count(MARK + NEWLINE) > LINES * 0.9 and disk[1080:1082] == b"\x53\xef"  # ext2's magic number
    assert "error writing '/dev/vdb': Operation not permitted" in out
    assert "3 packets transmitted, 3 packets received, 0% packet loss" in out
    assert re.search(r"^noise( [0-9a-f]{2}){16}$", out, re.M)
    assert len(re.findall(r"4[89] Level +virtio|5[01] Level +virtio", out)) == 4
    assert not re.search("warn|oops", out.partition("CPU0")[2], re.I)  # what dmesg says, not what was typed
    if not arguments:
        assert with_everything(linux, tmp_path, *arguments) == (out, disk, digest)  # and all of it again


def test_its_console_may_be_virtio(linux):
    status, out, _err = linux("--console", "virtio", lines=["tty; grep virtio /proc/interrupts"], append="console=hvc0")
    assert status == 0 and "\n/dev/hvc0\n" in out and "Level     virtio0" in out


def test_keys_and_fingers_arrive_as_input_events():
    memory, keyboard, touch = 256 * MIB, Keyboard(), Touch(160, 240)
    hypervisor = Hypervisor(Machine("a", ram=memory + 2 * MIB))
    image = with_initrd(load_image(str(LINUX_KERNEL), RAM, memory), str(LINUX_INITRD), RAM, memory - FRAMEBUFFER_ROOM)
    persona = hypervisor.add(PersonaSettings("linux", memory=memory, bootargs="quiet"), image, [keyboard, touch])
    read = b"(cat /dev/input/event0 > keys &); (cat /dev/input/event1 > touch &); usleep 900000; killall cat\r"
    show = b'for file in keys touch; do echo; hexdump -ve \'12/2 "%04x " "\\n"\' $file; done; exit\r'
    for byte in read + show:
        hypervisor.key(persona, byte, at=3 * SECOND)
    keyboard.type("a", at=3 * SECOND + SECOND // 2)
    touch.touch(10, 20, at=3 * SECOND + SECOND // 2)
    hypervisor.run(10 * SECOND)
    rows = re.findall(r"^(?:[0-9a-f]{4} ){8}((?:[0-9a-f]{4} ?){4})", persona.console.decode().replace("\r", ""), re.M)
    events = [
        tuple(int(word, 16) for word in row.split()) for row in rows
    ]  # type, code, value: struct input_event, 24 bytes
    down, up, end = (1, 30, 1, 0), (1, 30, 0, 0), (0, 0, 0, 0)
    assert events == [down, end, up, end, (1, 0x14A, 1, 0), (3, 0, 10, 0), (3, 1, 20, 0), end]
