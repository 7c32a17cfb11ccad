"""Where the sources are, when minivisor runs from a checkout: tests, chapters and labs live outside the package."""

from __future__ import annotations

from pathlib import Path

import minivisor

__all__ = ["find", "material"]


def find() -> Path | None:
    """The root of the checkout this package runs from, or None when it was installed from a wheel."""
    root = Path(minivisor.__file__).resolve().parent.parent
    return root if (root / "pyproject.toml").is_file() and (root / "tests").is_dir() else None


def material() -> dict[str, Path]:
    """The folders a student works in, "chapters" and "labs": from the checkout, or from the copies inside a wheel."""
    home = find() or Path(minivisor.__file__).resolve().parent / "material"
    return {name: home / name for name in ("chapters", "labs") if (home / name).is_dir()}
