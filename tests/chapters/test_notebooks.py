"""What every stored notebook keeps to, so that it opens with one click and a diff of it shows words."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from tests.chapters.notebooks import ROOT, code, committed, execute, stored

NOTEBOOKS = [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in stored()]


def test_there_is_a_first_chapter_and_a_first_lab() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in stored()}
    assert any(name.startswith("chapters/00") for name in names)
    assert any(name.startswith("labs/01") for name in names)


@pytest.mark.parametrize("path", NOTEBOOKS)
@pytest.mark.needs("git")
def test_outputs_are_stripped(path: Path) -> None:
    for cell in committed(path)["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_it_names_its_kernel_and_its_licence(path: Path) -> None:
    """Without a kernelspec JupyterLab asks which kernel is meant, and "run all" waits for the answer."""
    metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
    assert metadata["kernelspec"]["name"] == "python3"
    assert metadata["license"]["name"] == "CC BY 4.0"


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_it_starts_with_a_title_and_its_cells_have_identities(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    assert "".join(document["cells"][0]["source"]).startswith("# ")
    names = [cell["id"] for cell in document["cells"]]
    assert len(set(names)) == len(names)
    assert not any("".join(cell["source"]).strip() == "" for cell in document["cells"])


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_its_cells_are_plain_python(path: Path) -> None:
    """No magics and no shell: what a cell does, a script does."""
    document = json.loads(path.read_text(encoding="utf-8"))
    for cell in code(document):
        ast.parse(cell)
        assert max(map(len, cell.splitlines())) <= 112  # what JupyterLab shows without scrolling


@pytest.mark.needs("jupyterlab")
def test_the_guard_notices_a_cell_that_wants_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat

    cell = "import socket\ntry:\n    socket.create_connection(('192.0.2.1', 80), 1)\nexcept OSError:\n    pass"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    path = tmp_path / "asks.ipynb"
    nbformat.write(notebook, path)
    assert "192.0.2.1" in execute(path, tmp_path, monkeypatch)[1]
