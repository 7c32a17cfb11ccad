"""The page that opens trace files: what Python accepts it draws, what Python refuses it refuses, and a million records do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minivisor.errors import TraceError
from minivisor.trace import file as trace_file
from minivisor.trace.digest import digest_of
from minivisor.trace.file import Document
from minivisor.trace.records import DTYPE, Kind
from minivisor.trace.store import Trace
from minivisor.views import Timeline
from minivisor.views.viewer import FIRST, SHOWN, viewer
from tests.conftest import CI
from tests.trace.traces import made_up, real_run
from tests.views.browser import opened, violations
from tests.views.examples import crowded
from tests.views.test_page import EVIL, evil

pytestmark = pytest.mark.needs("chromium", "playwright")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("viewer") / "viewer.html"
    made.write_text(viewer(), encoding="utf-8")
    return made


def load(page: Any, path: Path, most: float = 60) -> str:
    """Open a file there; what the page says of it at the end."""
    page.evaluate("delete document.body.dataset.painted; document.getElementById('status').className = ''")
    page.set_input_files("#file", path)
    page.wait_for_function(
        "document.body.dataset.painted || document.querySelector('#status.wrong')", timeout=1000 * most
    )
    page.wait_for_function("!/^(Reading|Checking)/.test(document.getElementById('status').textContent)")
    return str(page.locator("#status").inner_text())


def test_a_trace_is_drawn_as_python_draws_it(browser: Any, page_file: Path, tmp_path: Path) -> None:
    crowded().trace.save(tmp_path / "run.trace")
    with opened(browser, page_file, wait="#file") as found:
        for box in found.page.locator("input[name=diagram]").all():
            box.check()
        trace = crowded().trace
        said = load(found.page, tmp_path / "run.trace")
        assert said == f"run.trace: {len(trace):,} records of personal, work, digest {trace.digest()}."
        assert found.page.locator("minivisor-view").count() == len(SHOWN)
        stage = found.page.locator('minivisor-view[name="timeline"] .stage svg')
        drawn = Timeline(trace, size=None).frame(width=int(stage.get_attribute("width")))
        assert f"{len(trace):,}" in found.page.locator('minivisor-view[name="timeline"] .n').inner_text()
        counts = [word for word in drawn.svg.split(">") if word.startswith("Data abort ")]
        assert counts[0].partition("<")[0] in stage.inner_html()
        assert violations(found.page, "color-contrast", "label", "region", "heading-order") == []


def test_a_file_may_be_dropped(browser: Any, page_file: Path, tmp_path: Path) -> None:
    real_run().save(tmp_path / "run.trace")
    drop = """(bytes) => { const data = new DataTransfer(); data.items.add(new File([new Uint8Array(bytes)], "dropped.trace"));
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })) }"""
    with opened(browser, page_file, wait="#file") as found:
        found.page.evaluate(drop, list((tmp_path / "run.trace").read_bytes()))
        found.page.locator("minivisor-view .stage svg").first.wait_for()
        assert found.page.locator("#status").inner_text().startswith("dropped.trace: ")


def sealed(prefix: bytes, rest: bytes) -> bytes:
    """A file with a right checksum, whatever is in it."""
    return prefix + hashlib.blake2b(prefix + rest, digest_size=32).digest() + rest


def with_header(content: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    length = int.from_bytes(content[12:16], "little")
    header = json.loads(content[48 : 48 + length])
    change(header)
    body = json.dumps(header).encode()
    return sealed(content[:12] + len(body).to_bytes(4, "little"), body + content[48 + length :])


def with_kind(content: bytes, kind: int) -> bytes:
    """The first record of another kind."""
    length, count = int.from_bytes(content[12:16], "little"), len(real_run())
    at = 48 + length + 8 * count
    return sealed(content[:16], content[48:at] + bytes([kind]) + content[at + 1 :])


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "text": (lambda content: b"hello " * 20, "another beginning"),
    "empty": (lambda content: b"", "another beginning"),
    "version": (lambda content: sealed(content[:8] + b"\x63\0\0\0" + content[12:16], content[48:]), "version 99"),
    "truncated": (lambda content: content[:-100], "truncated or damaged"),
    "cut short": (lambda content: content[:20], "truncated"),
    "bit": (lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:], "checksum"),
    "header": (lambda content: content[:12] + b"\xff\xff\xff\x7f" + content[16:], "a header of 2147483647 bytes"),
    "json": (lambda content: sealed(content[:12] + b"\x04\0\0\0", b"{{{{"), "not JSON"),
    "counts": (lambda content: with_header(content, lambda h: h.update(records=1 << 40)), "1099511627776 records"),
    "fewer": (lambda content: with_header(content, lambda h: h.update(records=3)), "3 records in"),
    "columns": (lambda content: with_header(content, lambda h: h["columns"].reverse()), "other columns"),
    "markup": (lambda content: with_header(content, lambda h: h.update(digest=EVIL)), "32 hexadecimal digits"),
    "names": (lambda content: with_header(content, lambda h: h["metadata"].update(personas=[{}])), "personas"),
    "kind": (lambda content: with_kind(content, 200), "unknown kind 200"),
    "digest": (lambda content: with_header(content, lambda h: h.update(digest="0" * 32)), "digest 0000"),
    "word": (lambda content: with_header(content, lambda h: h["texts"].__setitem__(0, "other")), "that of its records"),
    "log": (lambda content: with_header(content, lambda h: h.update(log=2)), "records in"),
}


def test_what_python_refuses_is_a_sentence_and_no_picture(browser: Any, page_file: Path, tmp_path: Path) -> None:
    real_run().save(tmp_path / "good.trace")
    content = (tmp_path / "good.trace").read_bytes()
    with opened(browser, page_file, wait="#file") as found:
        found.page.on("dialog", lambda dialog: found.errors.append("a dialog"))
        for name, (breaking, words) in BROKEN.items():
            (path := tmp_path / f"{name}.trace").write_bytes(breaking(content))
            load(found.page, tmp_path / "good.trace")
            assert found.page.locator("minivisor-view").count() > 0
            said = load(found.page, path)
            assert words in said and found.page.locator("#status.wrong").count() == 1, name
            assert found.page.locator("minivisor-view").count() == 0, name
            with pytest.raises(TraceError):
                Trace.load(path)


def test_markup_in_a_traces_words_stays_words(browser: Any, page_file: Path, tmp_path: Path) -> None:
    evil().save(tmp_path / "evil.trace")
    with opened(browser, page_file, wait="#file") as found:
        found.page.on("dialog", lambda dialog: found.errors.append("a dialog"))
        assert EVIL[:20] in load(found.page, tmp_path / "evil.trace")
        assert found.page.locator("img").count() == 0
        assert "</script>" in found.page.locator("minivisor-view .stage").first.inner_text()


COUNT = 1_000_000 if CI else 200_000  # the whole million takes this shared machine half a minute to hash


def million(count: int = COUNT) -> Document:
    """The first 30 ms of a phone over and over, in order."""
    rows = real_run().rows()
    times = -(-count // len(rows))
    many = np.tile(rows, times)[:count].astype(DTYPE)
    many["time"] += np.repeat(np.arange(times, dtype=np.uint64), len(rows))[:count] * (
        rows["time"][-1] + np.uint64(1000)
    )
    texts = tuple(real_run().texts)
    return Document(real_run().metadata, many, 0, texts, digest_of(many, texts))


KEYS = [
    "ArrowRight",
    "PageDown",
    "+",
    "ArrowRight",
    "+",
    "+",
    "PageDown",
    "End",
    "ArrowLeft",
    "Home",
    "-",
    *["ArrowRight"] * 8,
]
STEPS = """([name, keys]) => {
  const stage = document.querySelector(`minivisor-view[name="${name}"]`).shadowRoot.querySelector('.stage');
  return keys.map((key) => {
    const begun = performance.now();
    stage.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
    stage.getBoundingClientRect();
    return performance.now() - begun;
  }).sort((a, b) => a - b) }"""


def test_a_million_records_open_and_step(browser: Any, page_file: Path, tmp_path: Path) -> None:
    """First paint of both diagrams within a second of the file being checked, digest included, and steps within 50 ms.

    The median of the steps: this machine is shared.
    """
    trace_file.write(million(), tmp_path / "million.trace")
    with opened(browser, page_file, wait="#file") as found:
        assert f"{COUNT:,} records" in load(found.page, tmp_path / "million.trace", 120)
        found.page.wait_for_timeout(300)
        painted = float(found.page.evaluate("document.body.dataset.painted"))
        for name in FIRST:
            took = found.page.evaluate(STEPS, [name, KEYS])
            stage = found.page.locator(f'minivisor-view[name="{name}"] .stage')
            assert len(stage.inner_html()) < 100_000  # a window, not a million marks
            assert took[len(took) // 2] <= 50 and painted <= 1000, (name, painted, took)
    (tmp_path / "million.trace").unlink()


def test_a_run_with_losses_says_so(browser: Any, page_file: Path, tmp_path: Path) -> None:
    document = replace(million(500), lost=12_345)
    trace_file.write(document, tmp_path / "late.trace")
    with opened(browser, page_file, wait="#file") as found:
        load(found.page, tmp_path / "late.trace")
        assert "The first 12345 records" in found.page.locator("minivisor-view .note").first.inner_text()


def test_words_that_are_no_characters_have_the_digest_that_python_gives_them(
    browser: Any, page_file: Path, tmp_path: Path
) -> None:
    """Half a pair of surrogates can be in a file's JSON; what it is hashed as is escaped, here and there."""
    trace = made_up()
    trace.stop(90, 0, 5, "half \ud83d and \udc00, whole \U0001f600, é")
    trace.save(tmp_path / "half.trace")
    assert Trace.load(tmp_path / "half.trace").digest() == trace.digest()
    with opened(browser, page_file, wait="#file") as found:
        assert f"digest {trace.digest()}" in load(found.page, tmp_path / "half.trace")


def test_the_page_knows_every_kind() -> None:
    assert all(f'"{kind.name.lower()}"' in viewer() for kind in Kind)
