"""The machines that minivisor installs on, as pip and as environment markers see them.

One table for the two scripts beside it: `lock.py` chooses versions for all of these at once, `check_wheels.py` proves
that each of them gets by with wheels alone. Wheel tags are listed newest first.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["PYTHONS", "ROOT", "TARGETS", "Target"]

ROOT = Path(__file__).resolve().parent.parent

# Debian 12's interpreter is the oldest we support; the others are the newest patch level that behaves differently.
PYTHONS = ("3.11.2", "3.12.0", "3.13.0")


@dataclass(frozen=True)
class Target:
    """One kind of machine. `tags` are wheel platform tags; the other fields are the values that markers compare."""

    name: str
    sys_platform: str
    platform_machine: str
    platform_system: str
    os_name: str
    tags: tuple[str, ...]

    def environment(self, python: str) -> dict[str, str]:
        """The marker environment of PEP 508 on this machine, for CPython of the given full version."""
        return {
            "implementation_name": "cpython",
            "implementation_version": python,
            "os_name": self.os_name,
            "platform_machine": self.platform_machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": self.platform_system,
            "platform_version": "",
            "python_full_version": python,
            "python_version": ".".join(python.split(".")[:2]),
            "sys_platform": self.sys_platform,
        }


def _manylinux(machine: str) -> tuple[str, ...]:
    legacy = {"x86_64": ("manylinux2014", "manylinux2010", "manylinux1"), "aarch64": ("manylinux2014",)}[machine]
    # glibc 2.36 is Debian 12's.
    return tuple(f"manylinux_2_{n}_{machine}" for n in range(36, 4, -1)) + tuple(f"{tag}_{machine}" for tag in legacy)


def _macos(machine: str, newest: int) -> tuple[str, ...]:
    tags = []
    for kind in (machine, "universal2"):
        tags += [f"macosx_{major}_0_{kind}" for major in range(newest, 10, -1)]
        tags += [f"macosx_10_{minor}_{kind}" for minor in range(16, 3, -1)] if machine == "x86_64" else []
    return tuple(tags)


TARGETS = (
    Target("Windows x64", "win32", "AMD64", "Windows", "nt", ("win_amd64",)),
    Target("Mac, Apple silicon", "darwin", "arm64", "Darwin", "posix", _macos("arm64", 14)),
    Target("Mac, Intel", "darwin", "x86_64", "Darwin", "posix", _macos("x86_64", 14)),
    Target("Linux x64", "linux", "x86_64", "Linux", "posix", _manylinux("x86_64")),
    Target("Linux Arm", "linux", "aarch64", "Linux", "posix", _manylinux("aarch64")),
)
