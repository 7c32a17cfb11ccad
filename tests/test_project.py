"""The repository as a product: licences, public names, constraints, the wheel, and what may never be committed."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import minivisor

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@cache
def tracked() -> tuple[str, ...]:
    """Every file in git, and those about to be: paths from the root, with slashes."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return tuple(sorted(name for name in set(listed) if (ROOT / name).is_file()))


# ── what may never be committed ──────────────────────────────────────────────────────────────────────────────────────

# Spelled in pieces, so that this file does not hold what it forbids.
FORBIDDEN = {
    "a registry's host": r"pypi\.o" r"rg|python" r"hosted\.org|registry\.npm" r"js|deb\.deb" r"ian\.org",
    "a path of one machine": r"(?<![\w.])/(?:wo" r"rk|ro" r"ot|ho" r"me)/\w|C:\\\\Us" r"ers",
    "an unfinished thought": r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX)\b",
}


def forbidden(text: str) -> list[str]:
    return [f"{what}: {found[0]}" for what, pattern in FORBIDDEN.items() if (found := re.search(pattern, text))]


@pytest.mark.needs("git")
def test_nothing_private_or_unfinished_is_in_the_repository() -> None:
    found = {}
    for name in tracked():
        content = (ROOT / name).read_bytes()
        if b"\0" not in content and not name.startswith("LICENSES/"):
            found[name] = forbidden(content.decode("utf-8"))
    assert {name: complaints for name, complaints in found.items() if complaints} == {}


@pytest.mark.parametrize("text", ["https://py" "pi.org/simple", "see /wo" "rk/main", "'/ho" "me/me'", "# TO" "DO"])
def test_what_is_forbidden_is_noticed(text: str) -> None:
    assert len(forbidden(text)) == 1


# ── licences ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def licence_of(name: str) -> str:
    """The licence REUSE.toml gives a path: of the last annotation that matches."""
    answer = ""
    for annotation in tomllib.loads((ROOT / "REUSE.toml").read_text(encoding="utf-8"))["annotations"]:
        patterns = [annotation["path"]] if isinstance(annotation["path"], str) else annotation["path"]
        for pattern in patterns:
            regex = re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
            if re.fullmatch(regex, name):
                answer = annotation["SPDX-License-Identifier"]
    return answer


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("minivisor/machine/core.py", "GPL-2.0-or-later"),
        ("guest-kernels/hello/main.c", "GPL-2.0-or-later"),
        ("minivisor/views/screen.js", "MIT"),
        ("chapters/00-the-phone.ipynb", "CC-BY-4.0"),
        ("labs/01/starter.py", "CC-BY-4.0"),
        ("docs/layout.md", "CC-BY-4.0"),
    ],
)
def test_each_kind_of_file_has_its_licence(name: str, licence: str) -> None:
    assert licence_of(name) == licence


@pytest.mark.needs("git")
def test_every_file_has_a_licence_whose_text_is_here() -> None:
    used = {licence_of(name) for name in tracked()}
    assert "" not in used
    assert used <= {file.stem for file in (ROOT / "LICENSES").iterdir()}


@pytest.mark.parametrize(
    ("licence", "words"),
    [
        ("GPL-2.0-or-later", "GNU GENERAL PUBLIC LICENSE"),
        ("MIT", "Permission is hereby granted, free of charge"),
        ("CC-BY-4.0", "Attribution 4.0 International"),
    ],
)
def test_a_licence_file_holds_that_licence(licence: str, words: str) -> None:
    assert words in (ROOT / "LICENSES" / f"{licence}.txt").read_text(encoding="utf-8")


# ── public names ─────────────────────────────────────────────────────────────────────────────────────────────────────


def defined(tree: ast.Module) -> set[str]:
    """Names that a module's own top level binds by def, class, assignment or import."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
    return names


def exported(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            names: list[str] = ast.literal_eval(node.value)
            return names
    return None


@pytest.mark.parametrize("path", sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("minivisor/**/*.py")))
def test_a_module_says_which_names_are_public_and_has_them(path: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    public = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")}
    names = exported(tree)
    assert names is not None or not public, "defines public names and has no __all__"
    assert set(names or []) <= defined(tree)
    assert len(names or []) == len(set(names or []))


@pytest.mark.parametrize("name", minivisor.__all__)
def test_the_names_of_the_package_are_there(name: str) -> None:
    assert getattr(minivisor, name)
    assert name in dir(minivisor)


def test_a_name_the_package_has_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Tablet"):
        _ = minivisor.Tablet


# ── versions and constraints ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def targets(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("targets")


def constraints() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def test_the_version_is_written_the_same_twice() -> None:
    assert PROJECT["version"] == minivisor.__version__


def test_constraints_hold_one_exact_version_of_a_name_on_every_machine(targets: ModuleType) -> None:
    for target in targets.TARGETS:
        for python in targets.PYTHONS:
            here = [r for r in constraints() if not r.marker or r.marker.evaluate(target.environment(python))]
            assert len({r.name for r in here}) == len(here)
            assert all(re.fullmatch(r"==[\w.]+", str(r.specifier)) and not r.url for r in here)


def test_intel_macs_get_the_last_numba_that_runs_there(targets: ModuleType) -> None:
    numba = {
        target.name: str(requirement.specifier)
        for target in targets.TARGETS
        for requirement in constraints()
        if requirement.name == "numba"
        and (not requirement.marker or requirement.marker.evaluate(target.environment("3.11.2")))
    }
    assert len(numba) == len(targets.TARGETS)
    assert {name for name, version in numba.items() if version.startswith("==0.62.")} == {"Mac, Intel"}


def test_constraints_name_everything_that_is_reached_on_this_machine() -> None:
    """scripts/check_wheels.py proves this for every machine, from the index; here from what is installed."""
    pinned = {canonicalize_name(r.name) for r in constraints()}
    queue = [Requirement(line) for line in PROJECT["dependencies"]]
    queue += [Requirement(line) for extra in PROJECT["optional-dependencies"].values() for line in extra]
    seen: set[str] = set()
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        if name not in seen and (not requirement.marker or requirement.marker.evaluate({"extra": ""})):
            seen.add(name)
            assert name in pinned
            queue += [Requirement(line) for line in metadata.requires(name) or []]


# ── the wheel ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_wheel_carries_the_guests_and_what_a_student_needs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert archive.read("minivisor/guests/persona.elf")[:4] == b"\x7fELF"
    assert wheel.name == f"minivisor-{minivisor.__version__}-py3-none-any.whl"
    assert {"minivisor/guests/hello.elf", "minivisor/py.typed", "minivisor/cli.py"} <= names
    assert any(name.startswith("minivisor/material/chapters/00") and name.endswith(".ipynb") for name in names)
    assert any(name.startswith("minivisor/material/labs/01") for name in names)
    assert {Path(name).name for name in names if "/licenses/" in name} >= {"MIT.txt", "CC-BY-4.0.txt"}
    assert not any(name.startswith("tests/") or "__pycache__" in name for name in names)
