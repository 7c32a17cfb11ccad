"""JupyterLab: a notebook with every diagram runs; each renders, answers keys and mouse, and tells Python where it is.

One server on loopback without token for this test, no extension news, Debian's Chromium. Screenshots go to `artifacts/`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minivisor.views.gallery import LINES, SETUP
from tests.conftest import CI
from tests.views.browser import LOCAL

pytestmark = [
    pytest.mark.needs("chromium", "playwright", "jupyterlab"),
    pytest.mark.skipif(not CI, reason="NOT RUN: half a minute of JupyterLab; with CI set it runs"),
]
ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    }
}
LAST = """import json, pathlib
pathlib.Path("told.json").write_text(json.dumps({
    "steps": {name: view.step for name, view in shown.items()},
    "register": repr(shown["register"].register), "front": phone.foreground.name}))"""


def cell(source: str) -> dict[str, Any]:
    return {"cell_type": "code", "id": f"c{abs(hash(source)) % 10**8}", "metadata": {}, "execution_count": None,
            "outputs": [], "source": source}  # fmt: skip


def notebook() -> dict[str, Any]:
    """The gallery's run, a cell for each diagram, and one that writes down what Python knows of them."""
    lines = {**LINES, "phone": "PhoneView(phone)"}
    cells = [
        cell(f"{SETUP}\nshown = {{}}"),
        *(cell(f"shown[{name!r}] = {line}\nshown[{name!r}]") for name, line in lines.items()),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": [*cells, cell(LAST)]}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """(address, folder) of a running JupyterLab with the notebook in it."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "all.ipynb").write_text(json.dumps(notebook()))
    (folder / "overrides").mkdir()
    (folder / "overrides" / "overrides.json").write_text(json.dumps(SETTINGS))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--no-browser", "--expose-app-in-browser", "--allow-root", "--IdentityProvider.token="]
    options += [f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1", "--ServerApp.disable_check_xsrf=True"]
    options += [f"--LabApp.app_settings_dir={folder / 'overrides'}"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "run"),
    }
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], cwd=folder, stdout=log, stderr=log, env=environment
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/api", timeout=2).close()
                break
            except OSError:
                time.sleep(0.5)
        yield address, folder
    finally:
        server.terminate()
        server.wait(20)


RUN_ALL = """async () => {
  const app = window.jupyterapp;
  await app.restored;
  const panel = await app.commands.execute('docmanager:open', { path: 'all.ipynb', factory: 'Notebook' });
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
  app.commands.execute('notebook:run-all-cells');
}"""


def told(page: Any, folder: Path, ready: Any) -> dict[str, Any]:
    """Run the last cell again until what it writes is as wanted."""
    found: dict[str, Any] = {}
    for _ in range(40):
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-cell')")
        page.wait_for_timeout(500)
        if (folder / "told.json").exists():
            found = json.loads((folder / "told.json").read_text())
            if ready(found):
                return found
    return found


def test_every_diagram_lives_in_jupyterlab(browser: Any, lab: tuple[str, Path]) -> None:
    address, folder = lab
    artifacts = ROOT / "artifacts" / "views"
    artifacts.mkdir(parents=True, exist_ok=True)
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    page, errors, outside = context.new_page(), [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "request",
        lambda made: (
            None if made.url.startswith((address, address.replace("http", "ws"), *LOCAL)) else outside.append(made.url)
        ),
    )
    page.goto(f"{address}/lab?reset")
    page.wait_for_function("window.jupyterapp && window.jupyterapp.restored", timeout=60_000)
    page.evaluate(RUN_ALL)
    for name in LINES:
        live = page.locator(f'section.mv[aria-label="{TITLES[name]}"]')
        live.locator(".stage svg").first.wait_for(timeout=90_000)
        live.scroll_into_view_if_needed()
        live.screenshot(path=artifacts / f"lab-{name}.png")
        if live.locator("button[data-go=back]").count():
            live.locator(".stage").focus()
            page.keyboard.press("Home")
            live.get_by_role("button", name="Step forward").click()
            assert live.locator(".tools .n").inner_text().startswith("2 / ") or name == "phone"
    register = page.locator('section.mv[aria-label="Register explorer"]')
    register.locator("[data-input=value]").fill("0x1")
    phone = page.locator('section.mv[aria-label="Phone"]')
    phone.get_by_role("button", name="Switch persona").click()
    phone.locator(".say").get_by_text("personal is in front").wait_for(timeout=30_000)
    page.locator(".jp-Notebook .jp-CodeCell").last.click()
    found = told(page, folder, lambda t: t["front"] == "personal" and "HCR_EL2(0x1:" in t["register"])
    assert found["front"] == "personal" and found["register"].startswith("HCR_EL2(0x1:")
    assert all(found["steps"][name] == 1 for name in ("world", "walk"))  # where the clicks above left them
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    page.locator("section.mv[data-theme=dark]").first.wait_for()
    context.close()
    assert errors == [] and outside == []


TITLES = {
    "phone": "Phone", "timeline": "Exit timeline", "scheduler": "Scheduler", "lists": "List registers", "world": "World switch",
    "walk": "Two-stage walk", "pages": "Page ownership", "register": "Register explorer",
}  # fmt: skip
