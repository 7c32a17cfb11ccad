"""`minivisor study`: JupyterLab on the chapters and labs.

In a checkout the notebooks are opened where they are. Elsewhere, or with --dir, they are copied to a folder of the
student's own first. A file that is already there is never written over: it may hold an evening's work.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from minivisor.commands import checkout, child
from minivisor.errors import MissingPartError, OptionError, fault

SETTINGS = Path(__file__).parent / "lab_settings"
"""JupyterLab's defaults as we want them: no news, no question whether to fetch any, no look for updates: no network."""

__all__ = ["command", "copy_material", "first_notebook", "lab_command"]


def files(folder: Path, pattern: str = "*") -> list[Path]:
    """The files below a folder that are somebody's work: not hidden ones, not what Jupyter and Python leave behind."""
    below = [(path, path.relative_to(folder).parts) for path in sorted(folder.rglob(pattern)) if path.is_file()]
    return [path for path, parts in below if not any(part.startswith((".", "__pycache__")) for part in parts)]


def copy_material(folder: Path) -> int:
    """Copy chapters and labs into `folder`, leaving alone whatever is there. Returns the number of files copied."""
    copied = 0
    for name, source in checkout.material().items():
        for file in files(source):
            target = folder / name / file.relative_to(source)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
                copied += 1
    return copied


def first_notebook(folder: Path) -> str:
    """The page Lab opens on: the first chapter's path below `folder`, or nothing when there is none."""
    notebooks = files(folder / "chapters", "*.ipynb")
    return notebooks[0].relative_to(folder).as_posix() if notebooks else ""


def lab_command(folder: Path, browser: bool) -> list[str]:
    """How JupyterLab is started in `folder`: this interpreter's, so that its kernel is the one that has minivisor."""
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    notebook = first_notebook(folder)
    command += [f"--LabApp.default_url=/lab/tree/{notebook}"] if notebook else []
    command += [] if browser else ["--no-browser"]
    command += [f"--LabApp.app_settings_dir={SETTINGS}", "--LabApp.extension_manager=readonly"]
    # In a container everybody is root. Jupyter's other guards stay as they are: loopback only, and a token.
    command += ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    return command


def workspace(directory: Path | None) -> Path:
    """The folder Lab is started in, made if need be."""
    root = checkout.find()
    if directory is None and root is not None:
        return root
    folder = (directory or Path("minivisor-study")).resolve()
    if folder.exists() and not folder.is_dir():
        raise OptionError(fault("--dir", str(folder), "a folder, or the name of one to make", "minivisor study --help"))
    folder.mkdir(parents=True, exist_ok=True)
    click.echo(f"study: {copy_material(folder)} files copied to {folder}")
    return folder


@click.command()
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Work on a copy of the notebooks, in here.")
@click.option("--no-browser", is_flag=True, help="Only print the address; do not open a browser.")
@click.pass_context
def command(context: click.Context, directory: Path | None, no_browser: bool) -> None:
    """Open the chapters and labs in JupyterLab. In a checkout they are opened in place; elsewhere they are copied to
    ./minivisor-study first, and nothing of yours is ever written over."""
    if find_spec("jupyterlab") is None:
        expected = "the extra: pip install minivisor[notebooks]"
        raise MissingPartError(fault("study", "no jupyterlab", expected, "README.md, Install"))
    folder = workspace(directory)
    context.exit(child.run(lab_command(folder, browser=not no_browser)))
