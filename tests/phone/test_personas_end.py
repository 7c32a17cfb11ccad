"""How a persona ends: by its own wish, or because it can never go on; and that the other one never notices."""

import numpy as np
import pytest

from minivisor.phone.phone import Phone
from minivisor.phone.screen import STRIP
from minivisor.trace.records import Kind, StopReason

BOOTED = "300ms"


@pytest.fixture
def phone():
    return Phone().run(BOOTED)


def console(persona):
    return persona.console.decode()


def stops(phone):
    rows = phone.trace.select(Kind.STOP)
    return [(int(vcpu), StopReason(reason)) for vcpu, reason in zip(rows["vcpu"], rows["detail"], strict=True)]


def exits_of(phone, persona):
    return len(phone.trace.select(Kind.EXIT, persona.vcpus[0].index))


def test_a_panic_ends_in_a_report_and_only_there(phone):
    phone.type("P")
    phone.run("10ms")
    assert stops(phone) == [(0, StopReason.FIXED_POINT)]
    assert (phone.personal.status, phone.work.status) == ("off", "running")
    report = phone.personal.report
    assert "'personal' stopped: it takes the same exception" in report
    assert "ESR_EL1 0x02000000  Unknown reason" in report and "X30" in report
    pc = phone.trace.select(Kind.STOP)["pc"][0]
    assert f"→ {pc:#x}  udf #0" in report


def test_the_other_persona_goes_on_where_one_panics(phone):
    phone.type("P")
    phone.run("10ms")
    before, ticks = exits_of(phone, phone.work), phone.work.pixels().copy()
    phone.run("300ms")
    assert exits_of(phone, phone.work) >= before + 30  # its tick of 100 Hz, a WFI each
    assert not np.array_equal(ticks, phone.work.pixels())
    assert exits_of(phone, phone.personal) == phone.trace.select(Kind.EXIT, 0).size
    assert phone.work.report == ""


def test_sleeping_for_ever_with_every_source_off_is_noticed(phone):
    phone.type("W")
    phone.run("20ms")
    assert stops(phone) == [(0, StopReason.NEVER_WAKES)]
    assert "no event source can raise" in phone.personal.report and "wfi" in phone.personal.report
    assert phone.work.status == "running"


def test_system_off_is_not_a_failure(phone):
    phone.type("O")
    phone.run("20ms")
    assert stops(phone) == [(0, StopReason.SHUTDOWN)]
    assert (phone.personal.status, phone.personal.report) == ("off", "")
    summary = phone.summary()
    assert [persona.status for persona in summary.personas] == ["off", "running"] and not summary.stopped


def test_system_reset_boots_again_with_a_clock_of_its_own(phone):
    phone.type("Bz")
    phone.run(BOOTED)
    assert console(phone.personal).count("MMU on") == 2
    assert stops(phone) == [(0, StopReason.RESET)] and phone.personal.status == "running"
    phone.type("x")
    phone.run("50ms")
    assert "key 'x'" in console(phone.personal)


def test_a_run_returns_when_both_have_ended(phone):
    phone.type("O")
    phone.type("P", phone.work)
    phone.run("50ms")
    assert not phone.alive
    at = phone.now
    phone.run("10s")
    assert phone.now == at < 1_000_000_000
    assert phone.work.report and not phone.personal.report


def test_keys_go_to_whoever_is_in_front(phone):
    phone.type("a")
    phone.run("30ms")
    phone.switch()
    phone.type("b")
    phone.run("30ms")
    assert "key 'a'" in console(phone.personal) and "key 'b'" not in console(phone.personal)
    assert "key 'b'" in console(phone.work) and "key 'a'" not in console(phone.work)


def test_floating_point_survives_world_switches(phone):
    phone.type("F")
    phone.type("F", phone.work)
    phone.run("2200ms")
    reports = {
        persona.name: [line for line in console(persona).splitlines() if " fp " in line] for persona in phone.personas
    }
    assert all(len(lines) >= 2 and all(line.endswith(" ok") for line in lines) for lines in reports.values()), reports
    # What one carried, the other would have seen.
    assert reports["personal"][0].split(" fp ")[1] != reports["work"][0].split(" fp ")[1]


def test_a_persona_that_computes_gets_its_share_and_starves_nobody(phone):
    before = [persona.vcpus[0].consumed for persona in phone.personas]
    for persona in phone.personas:
        phone.type("S", persona)
    phone.run("40ms")
    spent = [persona.vcpus[0].consumed - old for persona, old in zip(phone.personas, before, strict=True)]
    assert spent[0] / sum(spent) == pytest.approx(0.75, abs=0.08)  # weight 3 in front against 1
    assert sum(spent) == pytest.approx(40_000_000, rel=0.05)


def test_no_pixel_of_the_strip_comes_from_a_guest(phone):
    before = phone.screen()[:STRIP].copy()
    phone.personal.pixels()[:] = 0xF81F  # all its framebuffer in one colour, as bright as it can
    assert np.array_equal(phone.screen()[:STRIP], before)
    assert (phone.screen()[STRIP:] == (255, 0, 255)).all()
    phone.switch()
    assert not np.array_equal(phone.screen()[:STRIP], before)


def test_the_strip_says_when_its_persona_is_over(phone):
    before = phone.screen()[:STRIP].copy()
    phone.type("W")
    phone.run("20ms")
    assert not np.array_equal(phone.screen()[:STRIP], before)
