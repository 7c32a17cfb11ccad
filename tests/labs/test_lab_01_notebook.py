"""The lab's page, and its checks run from it: grey as long as nobody answers, a chart as soon as somebody does."""

from __future__ import annotations

import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.chapters.notebooks import ROOT, execute
from tests.chapters.test_chapter_00 import outputs

LAB = ROOT / "labs" / "01-a-new-hypercall"
SOLUTION = Path(__file__).with_name("solutions") / "01.py"
WORK, GREY = (0xD0, 0x80, 0x30), (0x52, 0x55, 0x52)
# What a failed check says: who asked, what for, what came, where in the guest, and where in the file.
FAILURE = [
    "3 failed, 2 passed",
    "HVC: #0x0 in persona 'personal'",
    "X0 = 0xc6000001",
    "got       resume, no register written",
    "→ 0x402",
    "hvc #0",
    "answered by on_hvc in starter.py:",
]
ANSI = re.compile(r"\x1b\[[0-9;]*m")

pytestmark = pytest.mark.needs("jupyterlab")


def areas(picture: str, colour: tuple[int, int, int]) -> int:
    """Pixels of about that colour, below the strip."""
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB"))[32:].astype(int)
    return int((np.abs(image - np.array(colour)).max(axis=2) < 9).sum())


@pytest.mark.parametrize("solved", [False, True], ids=["starter", "solution"])
def test_the_page_shows_what_the_file_does(solved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = tmp_path / "lab"
    shutil.copytree(LAB, lab)
    if solved:
        shutil.copyfile(SOLUTION, lab / "starter.py")
    document, wanted = execute(lab / "lab.ipynb", tmp_path, monkeypatch)
    front, behind = outputs(document, "image/png")
    assert wanted == ""
    assert (areas(front, GREY) > 50_000) is not solved
    assert (areas(behind, WORK) > 4_000) is solved
    assert any("→" in shown and "hvc #0" in shown for shown in outputs(document, "text/plain"))
    checked = ANSI.sub("", "".join(outputs(document, "stdout")))
    assert [words for words in (["5 passed"] if solved else FAILURE) if words not in checked] == []
    assert "Traceback" not in checked and "hypervisor.py" not in checked
    assert any("FunctionId" in shown and "vendor specific" in shown for shown in outputs(document, "text/html"))
