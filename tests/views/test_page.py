"""Pages and pictures as text: one module everywhere, the licence in, nothing of a trace's own words as markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from minivisor.errors import OptionError
from minivisor.trace.store import Metadata, Trace
from minivisor.views import VIEWS, Timeline
from minivisor.views.modules import PARTS, module, script
from tests.trace.traces import PERSONAS, made_up, real_run
from tests.views.examples import EXAMPLES, example

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 200_000


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_page_carries_the_module_of_the_notebook_byte_for_byte(name: str) -> None:
    page = example(name).to_html()
    assert f'<script type="module" data-module="{name}">{example(name).esm}</script>' in page
    anywidget = pytest.importorskip("anywidget")
    assert anywidget and example(name).widget._esm == module(name)
    assert len(page.encode()) <= LIMIT


@pytest.mark.parametrize("name", EXAMPLES)
def test_exports_carry_the_mit_notice_and_nothing_of_the_gpl(name: str) -> None:
    permission = (ROOT / "LICENSES/MIT.txt").read_text(encoding="utf-8")
    wanted = " ".join(permission[permission.index("Permission is") :].split())
    page = " ".join(re.sub(r"^ \* ?", "", example(name).to_html(), flags=re.M).split())
    assert wanted in page
    for text in (page, example(name).to_svg()):
        assert "SPDX-License-Identifier: MIT" in text
        assert not re.search(r"GPL|GNU|General Public", text)


@pytest.mark.parametrize("name", PARTS)
def test_a_module_imports_nothing_asks_for_nothing_and_cannot_end_its_element(name: str) -> None:
    text = module(name)
    assert not re.search(
        r"^\s*import\b|\bimport\(|\bfetch\(|XMLHttp|https?://(?!www\.w3\.org/2000/svg)|\beval\(|new Function",
        text,
        re.M,
    )
    assert not re.search(r"</script|<!--|style=\"", text, re.I)
    assert text.count("export default view;") == 1 and text.rstrip().endswith("export default view;")


@pytest.mark.parametrize("name", ["host", "reader", "viewer", "gallery"])
def test_no_script_of_a_page_can_end_its_element(name: str) -> None:
    assert not re.search(r"</script|<!--(?! \$)", script(name), re.I)
    assert "SPDX-License-Identifier: MIT" in script(name)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_picture_is_a_document_of_its_own(name: str, tmp_path: Path) -> None:
    text = example(name).to_svg(tmp_path / "picture.svg")
    assert (tmp_path / "picture.svg").read_text(encoding="utf-8") == text
    tree = ElementTree.fromstring(text)
    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    assert tree[0].text == example(name).facts.title
    assert not [
        node for node in tree.iter() if "script" in node.tag or any(key.startswith("on") for key in node.attrib)
    ]


GLYPH = re.compile(r'<path d="([^"]+)" transform="translate[^"]*" fill="var\(--(c\d),')


@pytest.mark.parametrize("name", ["timeline", "lists"])
def test_each_colour_has_a_shape_of_its_own(name: str) -> None:
    """Who cannot tell two colours apart can tell their marks: no shape belongs to two colours."""
    svg = example(name).frame().svg
    shapes = {(colour, shape) for shape, colour in GLYPH.findall(svg)}
    colours = {colour for colour, _ in shapes}
    assert len(shapes) == len(colours) == len({shape for _, shape in shapes}) >= 3
    assert set(re.findall(r"var\(--(c\d),", svg)) - colours <= {"c6"}  # the grey of bars that have their name above


def test_diagrams_ask_a_question_each() -> None:
    asked = [example(name).facts.question for name in EXAMPLES]
    assert all(question.endswith("?") for question in asked) and len(set(asked)) == len(VIEWS)


EVIL = '</script><img src=x onerror="alert(1)"><!--\u2028&amp;\x1b[31m'


def evil() -> Trace:
    """A trace whose every word is an attack."""
    words = replace(PERSONAS, personas=(EVIL, EVIL + "2"), extra={EVIL: EVIL})
    trace = Trace(Metadata(**{name: getattr(words, name) for name in words.__dataclass_fields__}))
    for record in made_up():
        if record.kind.name != "STOP":
            trace.append(record)
    trace.stop(70, 1, 5, EVIL)
    return trace


def test_words_of_a_trace_are_never_markup() -> None:
    view = Timeline(evil(), step=11)
    for text in (view.to_html(), view.to_svg(), view.frame().svg, view.frame().detail):
        assert "<img" not in text and "\x1b" not in text
    page = view.to_html()
    state = re.search(r'<script type="application/json">(.*?)</script>', page, re.S)
    assert state and json.loads(state[1])["state"]["names"][0] == EVIL
    assert page.count("</script>") == 3  # state, host, module


def test_a_frame_of_somebody_elses_keeps_its_shape_without_script() -> None:
    snippet = example("timeline").to_iframe('a"b.html')
    assert re.search(r"aspect-ratio:\d+/\d+", snippet) and "script>" not in snippet
    assert 'src="a&quot;b.html"' in snippet and 'sandbox="allow-scripts"' in snippet


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"output: got .*expected a file that can be written"):
        example("timeline").to_html(tmp_path / "no" / "page.html")


def test_a_window_is_cut_to_what_fits_and_says_so() -> None:
    small, whole = Timeline(real_run(), size=10_000), Timeline(real_run(), size=None)
    shown = np.isin(real_run().rows()["kind"], Timeline.kinds)
    assert 50 < small.frame().steps < whole.frame().steps == shown.sum()
    until = int(np.flatnonzero(shown)[small.frame().steps])
    assert small.state["note"] == f"Records 1 to {until:,} of {len(real_run()):,}."
    assert len(json.dumps(small.state["rows"])) < 12_000
    assert whole.state["note"] == ""
