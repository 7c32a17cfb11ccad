"""A student's folder: notebooks arrive in it once, and an evening's work is never written over."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from minivisor import cli
from minivisor.commands import checkout, study


@pytest.fixture
def material(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with two chapters, a lab and a stray hidden file."""
    root = tmp_path / "source"
    names = ("chapters/01.ipynb", "chapters/00.ipynb", "chapters/.ipynb_checkpoints/00.ipynb", "labs/01/starter.py")
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"as released: {name}")
    monkeypatch.setattr(checkout, "find", lambda: root)
    return root


def test_chapters_and_labs_are_copied_without_hidden_files(material: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    assert study.copy_material(work) == 3
    copied = sorted(file.relative_to(work).as_posix() for file in work.rglob("*") if file.is_file())
    assert copied == ["chapters/00.ipynb", "chapters/01.ipynb", "labs/01/starter.py"]


def test_what_is_there_is_left_alone(material: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    study.copy_material(work)
    (work / "labs/01/starter.py").write_text("my evening")
    (work / "chapters/01.ipynb").unlink()
    assert study.copy_material(work) == 1
    assert (work / "labs/01/starter.py").read_text() == "my evening"


def test_lab_opens_on_the_first_chapter(material: Path, tmp_path: Path) -> None:
    assert study.first_notebook(material) == "chapters/00.ipynb"
    assert study.first_notebook(tmp_path / "empty") == ""


def test_lab_is_this_interpreters_and_opens_a_browser_only_when_asked(material: Path) -> None:
    command = study.lab_command(material, browser=True)
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert "--LabApp.default_url=/lab/tree/chapters/00.ipynb" in command
    assert set(study.lab_command(material, browser=False)) - set(command) == {"--no-browser"}


@pytest.mark.needs("jupyterlab")
def test_a_file_where_the_folder_should_be_is_one_line(
    material: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    assert cli.run(["study", "--dir", str(taken)]) == 2
    assert "--dir" in capsys.readouterr().err


def test_lab_asks_nobody_for_news_or_updates(tmp_path: Path) -> None:
    """The settings are ours, name what JupyterLab names, and reach it on the command line."""
    settings = json.loads((study.SETTINGS / "overrides.json").read_text())
    assert settings["@jupyterlab/apputils-extension:notification"] == {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    }
    assert f"--LabApp.app_settings_dir={study.SETTINGS}" in study.lab_command(tmp_path, browser=False)


@pytest.mark.needs("jupyterlab")
def test_lab_knows_the_settings_we_override() -> None:
    """A renamed setting would silently bring the question back."""
    import jupyterlab

    plugin = "schemas/@jupyterlab/apputils-extension/notification.json"
    places = (Path(sys.prefix) / "share/jupyter/lab" / plugin, Path(jupyterlab.__file__).parent / plugin)
    (schema,) = [json.loads(place.read_text()) for place in places if place.is_file()][:1]
    assert {"fetchNews", "checkForUpdates", "doNotDisturbMode"} <= set(schema["properties"])
    assert "false" in json.dumps(schema["properties"]["fetchNews"])
