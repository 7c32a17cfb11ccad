"""Chapter 00 as its reader meets it: run from top to bottom in a kernel, and once more as a plain script."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.chapters.notebooks import ROOT, code, execute

CHAPTER = ROOT / "chapters" / "00-two-people-one-phone.ipynb"
DIGEST = re.compile(r"\b[0-9a-f]{32}\b")

pytestmark = pytest.mark.needs("jupyterlab")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], str]]:
    with pytest.MonkeyPatch.context() as patch:
        yield execute(CHAPTER, tmp_path_factory.mktemp("kernel"), patch)


def outputs(document: dict[str, Any], kind: str) -> list[str]:
    """What the cells showed, of one MIME type; "stdout" for what they printed."""
    found = []
    for cell in document["cells"]:
        for output in cell.get("outputs", []):
            text = output.get("text") if kind == "stdout" else output.get("data", {}).get(kind)
            found += ["".join(text)] if text else []
    return found


def test_ten_lines_show_the_readers_own_name_and_colour(run: tuple[dict[str, Any], str]) -> None:
    first = code(run[0])[0]
    assert len(first.splitlines()) <= 10 and '"Ada"' in first
    (picture,) = outputs(run[0], "image/png")
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB"))
    assert image.shape == (512, 320, 3)
    colour = np.array([0xAA, 0x33, 0x55])
    assert (np.abs(image[:32].astype(int) - colour).max(axis=2) == 0).sum() > 100  # the strip, exact
    assert (np.abs(image[32:].astype(int) - colour).max(axis=2) < 9).sum() > 500  # the guest's own screen, in r5g6b5


def test_the_exits_are_tabulated_by_persona(run: tuple[dict[str, Any], str]) -> None:
    table = next(shown for shown in outputs(run[0], "text/html") if "<table>" in shown)
    assert ">Ada</th>" in table and ">personal</th>" in table
    assert "Data Abort from a lower EL" in table and "Trapped WFI or WFE" in table


def test_time_a_syndrome_and_its_parts_are_drawn(run: tuple[dict[str, Any], str]) -> None:
    drawings = [shown for shown in outputs(run[0], "text/html") if "<svg" in shown]
    assert sum("who had the core when" in shown for shown in drawings) == 2
    assert any("<b>ESR_EL2 = 0x" in shown and "Data Abort from a lower EL" in shown for shown in drawings)
    assert any("<b>DataAbort = 0x" in shown and "translation fault" in shown for shown in drawings)


def test_the_trap_is_the_store_of_the_first_letter(run: tuple[dict[str, Any], str]) -> None:
    (arrow,) = [re.findall(r"^→ .*$", shown, re.M) for shown in outputs(run[0], "text/plain") if "→" in shown]
    assert re.fullmatch(r"→ 0xffffff80\w+  strb? w\d+, \[x\d+\]", arrow[0])
    assert "the letter: p" in outputs(run[0], "stdout")[0] and "ipa 0x9000000" in outputs(run[0], "stdout")[0]


def test_every_prediction_is_answered(run: tuple[dict[str, Any], str]) -> None:
    asked = "\n".join(code(run[0])).count("predict(")
    verdicts = [
        shown for shown in outputs(run[0], "text/plain") if re.search(r"^(Right|Close|Not this time):", shown, re.M)
    ]
    assert asked == len(verdicts) == 6
    said = dict.fromkeys(("change hands", "background", "register", "agree"), "")
    for verdict in verdicts:
        question, headline, reason = verdict.splitlines()
        assert len(reason) > 40
        said.update({word: headline for word in said if word in question})
    assert "it is 20," in said["change hands"] and "it is 0.25," in said["background"]
    assert said["register"].startswith("Right") and "it is yes" in said["agree"]


def test_nothing_is_fetched(run: tuple[dict[str, Any], str]) -> None:
    assert run[1] == ""
    shown = "".join(outputs(run[0], "text/html"))
    assert not re.search(r"<script|<link|<img|@import|url\(|(src|href)=", shown)


def test_a_plain_script_of_its_cells_gives_the_same_digest(run: tuple[dict[str, Any], str]) -> None:
    script = "\n".join(code(run[0]))
    done = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    here, there = (DIGEST.findall(text) for text in (done.stdout, "".join(outputs(run[0], "stdout"))))
    assert len(here) == 2 and here[0] == here[1] == there[0] == there[1]
