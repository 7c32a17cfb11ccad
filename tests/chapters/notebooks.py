"""Running a notebook as its reader would, in a kernel that cannot reach the network and tells when somebody tried."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Imported by the kernel's interpreter before anything else, from a folder on its PYTHONPATH. A kernel talks to its
# client over loopback, by libzmq's own sockets; whatever else is tried is refused and written down.
GUARD = """
import os, socket

def _local(address):
    return not isinstance(address, tuple) or str(address[0]) in ("127.0.0.1", "::1", "localhost", "")

def _guard(name, at):
    real = getattr(socket.socket, name)
    def guarded(self, *arguments):
        if not _local(arguments[at]):
            with open(os.environ["NETWORK_LOG"], "a") as log:
                log.write(f"{name} {arguments[at]}\\n")
            raise ConnectionRefusedError(f"the network is out of bounds: {arguments[at]}")
        return real(self, *arguments)
    setattr(socket.socket, name, guarded)

for name, at in (("connect", 0), ("connect_ex", 0), ("sendto", -1)):
    _guard(name, at)

_resolve = socket.getaddrinfo
def getaddrinfo(host, *arguments, **options):
    if host is not None and not _local((host,)):
        with open(os.environ["NETWORK_LOG"], "a") as log:
            log.write(f"getaddrinfo {host}\\n")
        raise socket.gaierror(f"the network is out of bounds: {host}")
    return _resolve(host, *arguments, **options)
socket.getaddrinfo = getaddrinfo
"""


def stored() -> list[Path]:
    """Every notebook in the repository."""
    return sorted(path for folder in ("chapters", "labs") for path in (ROOT / folder).rglob("*.ipynb") if _ours(path))


def _ours(path: Path) -> bool:
    return not any(part.startswith(".") for part in path.relative_to(ROOT).parts)


def committed(path: Path) -> dict[str, Any]:
    """The notebook as git has it: in the work tree somebody may just have run it."""
    name = path.relative_to(ROOT).as_posix()
    shown = subprocess.run(["git", "-C", str(ROOT), "show", f":{name}"], capture_output=True, check=False)
    document: dict[str, Any] = json.loads(shown.stdout if shown.returncode == 0 else path.read_bytes())
    return document


def code(document: dict[str, Any]) -> list[str]:
    """The source of each code cell."""
    return ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == "code"]


def execute(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], str]:
    """Run all cells; an error in one is the test's. folder: for the guard. Returns the notebook with its outputs, and
    what it wanted from the network."""
    import nbformat
    from nbclient import NotebookClient

    (folder / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    log = folder / "network.log"
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("NETWORK_LOG", str(log))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=110, resources={"metadata": {"path": str(path.parent)}}).execute()
    return json.loads(nbformat.writes(notebook)), log.read_text(encoding="utf-8") if log.exists() else ""
