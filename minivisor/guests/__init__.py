"""The guest kernels that come with minivisor, as ELF files beside this module.

They are built from `guest-kernels/` by `guest-kernels/build.py` (`make` does it) and travel inside the wheel, so that
only those who change a guest need its compiler.
"""

from __future__ import annotations

from pathlib import Path

from minivisor.errors import GuestImageError

__all__ = ["path"]


def path(name: str) -> Path:
    """The ELF file of the guest `name`, such as "hello" or "persona".

    Raises GuestImageError when there is no such file: the guest is not one of ours, or it has not been built.
    """
    folder = Path(__file__).parent
    image = folder / f"{name}.elf"
    if not image.is_file():
        built = ", ".join(sorted(file.stem for file in folder.glob("*.elf"))) or "none"
        raise GuestImageError(
            f"guest {name!r}: expected {image.name} in minivisor/guests (there: {built}); "
            "`python guest-kernels/build.py` builds them"
        )
    return image
