"""Page ownership follows stage 2: what is mapped, taken away or made read-only is what the map shows."""

from __future__ import annotations

import re

from minivisor.trace.records import Stage2Event, Stage2Record
from minivisor.trace.store import Trace
from minivisor.views import PageOwnership
from tests.trace.traces import PERSONAS
from tests.views.examples import crowded, owned

MIB = 1 << 20


def story(*changes: tuple[Stage2Event, int, int, int, int, str]) -> Trace:
    """(event, vcpu, ipa, pa, size, prot) after each other."""
    trace = Trace(PERSONAS)
    for at, (event, vcpu, ipa, pa, size, prot) in enumerate(changes):
        row = Stage2Record(time=at, vcpu=vcpu, event=event, ipa=ipa, pa=pa, size=size, prot=trace.text(prot))
        trace.append(row)
    return trace


MAPPED = (
    (Stage2Event.MAP, 0, 0x4000_0000, 0x8000_0000, 8 * MIB, "rwx"),
    (Stage2Event.MAP, 1, 0x4000_0000, 0x8080_0000, 8 * MIB, "rwx"),
)


def letters(svg: str) -> str:
    """The cells of the map in order; the legend has one of each after them."""
    return "".join(re.findall(r"<text [^>]*>(.)</text>", svg))


def test_each_owner_has_its_cells_and_its_letter() -> None:
    view = PageOwnership(story(*MAPPED))
    assert letters(view.frame(step=0).svg).startswith("P" * 256 + "P")
    assert letters(view.frame(step=1).svg).startswith("P" * 256 + "W" * 256)
    assert view.frame(step=1).say.endswith("personal reaches 8 MiB, work reaches 8 MiB.")


def test_what_is_taken_away_is_nobodys_and_what_is_left_stays() -> None:
    taken = (Stage2Event.UNMAP, 0, 0x4020_0000, 0, 2 * MIB, "")
    frame = PageOwnership(story(*MAPPED, taken)).frame()
    assert letters(frame.svg).startswith("P" * 64 + "P" * 128 + "W" * 256)
    rows = [
        ("personal", "0x80000000", "0x40000000", "2 MiB", "rwx"),
        ("personal", "0x80400000", "0x40400000", "4 MiB", "rwx"),
    ]
    assert frame.rows[:2] == tuple(rows)


def test_a_stage_2_that_allows_reads_only_is_another_picture() -> None:
    limited = (Stage2Event.PROTECT, 1, 0x4000_0000, 0, MIB, "r")
    before, after = PageOwnership(story(*MAPPED)).frame(), PageOwnership(story(*MAPPED, limited)).frame()
    assert ", r<" not in before.svg and after.svg.count(", r</title>") == 32
    assert (
        "work may now only use 1 MiB" in after.say and ("work", "0x80800000", "0x40000000", "1 MiB", "r") in after.rows
    )


def test_a_page_of_two_is_marked() -> None:
    shared = (Stage2Event.MAP, 1, 0x5000_0000, 0x8000_0000, 4096, "r")
    frame = PageOwnership(story(MAPPED[0], shared)).frame()
    assert "personal and work" in frame.svg


def test_a_real_phone_keeps_its_personas_apart() -> None:
    frame = owned().frame()
    ledger = crowded().hypervisor.ledger
    for name in ("personal", "work"):
        pages = ledger.count(ledger.names.index(name))
        assert f"{name} reaches {pages * 4096 // MIB} MiB" in frame.say  # and a page of the interrupt controller
    assert "hypervisor reaches 2 MiB" in frame.say
    assert len({row[1] for row in frame.rows if row[4] == "rwx"}) == 2
