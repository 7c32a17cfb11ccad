"""Documents that stay true: every path and name they mention is there, every module is mentioned, and the README runs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = [path.relative_to(ROOT).as_posix() for path in (ROOT / "chapters").glob("*.ipynb")]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "docs/layout.md", *sorted(NOTEBOOKS)]
LAYOUT = (ROOT / "docs/layout.md").read_text(encoding="utf-8")

# A path in backticks, as a link's target or as an image: with a slash in it, or one of our files by its ending.
PATH = re.compile(
    r"(?:`|\]\(|src=\")(?:MINIVISOR_WORK=\S+ pytest )?((?:[\w.*-]+/)+[\w.*-]*|[\w*-]+\.(?:md|txt|toml|png))(?=[`)\"])"
)
LOOKED_UP = re.compile(r"^\| .* \| `(minivisor/[\w/]+\.py)` \| `([\w.]+)` \|$", re.M)


def paths(text: str) -> set[str]:
    return set(PATH.findall(text))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_exists(document: str) -> None:
    named = paths((ROOT / document).read_text(encoding="utf-8"))
    assert named
    assert {name for name in named if not any(ROOT.glob(name.rstrip("/")))} == set()


def test_a_path_is_noticed_wherever_it_stands() -> None:
    text = (
        'see `a/b.py`, [this](docs/c.md), `d/`, `tests/naive_*.py`, `COPYING.md`, src="e/f.png"; not `a.b` or `make x`'
    )
    assert paths(text) == {"a/b.py", "docs/c.md", "d/", "tests/naive_*.py", "COPYING.md", "e/f.png"}


def test_the_layout_names_every_module_once() -> None:
    """Once in the walk; `__init__` is its folder's heading."""
    walk = LAYOUT.split("## Where do I find")[0]
    listed = re.findall(r"^\| `(minivisor/[\w/]+\.py)` \|", walk, re.M)
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "minivisor").rglob("*.py")}
    expected = {name for name in modules if not name.endswith("/__init__.py")} - {"minivisor/stages.py"}
    assert sorted(listed) == sorted(expected)
    folders = {name.rsplit("/", 1)[0] for name in modules}
    assert {folder for folder in folders if f"`{folder}" not in walk} == set()


def test_the_layout_names_every_guest() -> None:
    folders = {
        path.name for path in (ROOT / "guest-kernels").iterdir() if path.is_dir() and not path.name.startswith("_")
    }
    assert {folder for folder in folders if f"`guest-kernels/{folder}/`" not in LAYOUT} == set()


def names(path: str) -> set[str]:
    """Top-level names of a module, and Class.method."""
    found: set[str] = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{item.name}" for item in node.body if isinstance(item, ast.FunctionDef)}
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def test_the_lines_that_one_looks_for_are_where_the_layout_says() -> None:
    rows = LOOKED_UP.findall(LAYOUT)
    assert len(rows) == LAYOUT.split("| … |")[1].count("\n| ") and len(rows) > 15
    assert [(path, name) for path, name in rows if name not in names(path)] == []


def test_the_readmes_ten_lines_run(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    assert len(code.splitlines()) == 10
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Data Abort from a lower EL" in done.stdout and "Ada: kernel at" in done.stdout
    assert re.search(r"^[0-9a-f]{32}$", done.stdout, re.M)
    assert (tmp_path / "ada.png").read_bytes()[:4] == b"\x89PNG"


def shape(text: str) -> list[str]:
    """Lines with every number and digest masked and runs of blanks and rules made one; what is left is what is said."""
    masked = re.sub(r"\b[0-9a-f]{16}\b|[\d,.]*\d", "N", text)
    return sorted(re.sub(r"[ ─]+", " ", line).strip() for line in masked.splitlines() if line.strip())


def test_the_readme_shows_what_the_phone_really_prints() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ((arguments, shown),) = re.findall(r'```\n\$ make phone ARGS="(.*?)"\n(.*?)```', readme, re.S)
    command = [sys.executable, "-m", "minivisor", "phone", *arguments.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and shape(done.stdout) == shape(shown)
