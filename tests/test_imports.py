"""Imports point one way: silicon knows nothing of the hypervisor, the hypervisor nothing of the phone.

Read from the sources, so an import inside a function, in an `if`, or for type checking only counts like any other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "minivisor"

LAYERS = (
    "arch",
    "trace",
    "stages",
    "machine",
    "platform",
    "drivers",
    "hypervisor",
    "phone",
    "course",
    "views",
    "grading",
    "bench",
    "commands",
    "cli",
)
GROUND = ("errors", "guests")  # under all layers: imported by anybody, importing at most each other

# module -> the only places that may import it. The engine is silicon's affair; Numba is one module's, and LLVM two's.
CONFINED = {
    "numba": "machine/compiler.py",
    "llvmlite": ("machine/compiler.py", "machine/object_code.py"),
    "unicorn": ("machine/", "bench/peers.py"),
    "click": ("cli.py", "commands/"),
}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported(tree: ast.AST, module: str) -> Iterator[str]:
    """Dotted names a module imports, relative ones resolved, `from a import b` as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*parents, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def height(part: str) -> int:
    return -1 if part in GROUND else LAYERS.index(part)


def violations(path: str, text: str) -> list[str]:
    """What is wrong with the imports of one file; `path` is relative to the package, with slashes."""
    here = path.removesuffix(".py").split("/")[0]
    found = []
    for name in imported(ast.parse(text), "minivisor." + path.removesuffix(".py").replace("/", ".")):
        top, *rest = name.split(".")
        allowed = CONFINED.get(top)
        if allowed and not path.startswith(allowed):
            found.append(f"{path} imports {top}; only {allowed} may")
        if top != "minivisor" or not rest or rest[0] == "__version__" or here in ("__init__", "__main__"):
            continue
        if rest[0] not in (*LAYERS, *GROUND):
            found.append(f"{path} imports {name}, which is in no layer")
        elif height(rest[0]) > height(here):
            found.append(f"{path} imports {name}: {rest[0]} is above {here}")
    return found


@pytest.mark.parametrize("path", [file.relative_to(PACKAGE).as_posix() for file in sources()])
def test_imports_point_one_way(path: str) -> None:
    assert violations(path, (PACKAGE / path).read_text(encoding="utf-8")) == []


def test_every_folder_and_module_has_a_layer() -> None:
    tops = {file.relative_to(PACKAGE).parts[0].removesuffix(".py") for file in sources()}
    assert tops - {"__init__", "__main__"} <= {*LAYERS, *GROUND}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("machine/core.py", "from minivisor.phone.phone import Phone"),
        ("machine/core.py", "from minivisor import phone"),
        ("machine/core.py", "def late():\n    import minivisor.hypervisor.vgic"),
        ("arch/esr.py", "from ..trace import store"),
        ("arch/esr.py", "from minivisor.elsewhere import thing"),
        ("stages.py", "from minivisor.machine import core"),
        ("errors.py", "from minivisor.arch import esr"),
        ("hypervisor/vm.py", "import unicorn.arm64_const"),
        ("machine/core.py", "from numba import cfunc"),
        ("machine/hot.py", "import llvmlite.binding"),
        ("phone/phone.py", "import click"),
    ],
)
def test_a_wrong_import_is_noticed(path: str, line: str) -> None:
    assert len(violations(path, line)) == 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("phone/phone.py", "from minivisor.machine.core import Core"),
        ("machine/core.py", "from . import walk\nfrom .tlb import Tlb\nimport unicorn"),
        ("machine/compiler.py", "import numba"),
        ("commands/run.py", "import click\nfrom minivisor.errors import OptionError"),
        ("arch/esr.py", "import numpy as np\nfrom minivisor.errors import fault"),
    ],
)
def test_a_right_import_is_left_alone(path: str, line: str) -> None:
    assert violations(path, line) == []
