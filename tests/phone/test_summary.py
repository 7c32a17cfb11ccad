"""The three faces of a summary say the same."""

import json

import pytest

from minivisor.phone.phone import Phone
from minivisor.trace.records import Kind


@pytest.fixture(scope="module")
def phone():
    phone = Phone({"name": "Ada <b>"}, {"name": "Ada at work"}, cost="kvm-arm-2016").run("200ms")
    phone.type("P")
    return phone.run("20ms")


def test_numbers_agree_with_the_trace(phone):
    summary = phone.summary()
    assert summary.virtual == phone.now and summary.instructions == phone.machine.core.retired
    assert summary.world_switches == len(phone.trace.select(Kind.SWITCH))
    assert summary.records == summary.counted == len(phone.trace)
    totals = [int(str(row[-1])) for row in summary.exits.rows]
    assert sum(totals) == len(phone.trace.select(Kind.EXIT))
    assert 0 < sum(persona.cpu_share for persona in summary.personas) < 1
    assert summary.personas[0].consumed == phone.personal.vcpus[0].consumed


def test_who_was_stopped_is_said(phone):
    summary = phone.summary()
    assert [persona.name for persona in summary.stopped] == ["Ada <b>"]
    assert summary.stopped[0].status == "stopped" and summary.personas[1].status == "running"
    assert "persona 'Ada <b>' stopped" in str(summary)


def test_it_names_what_it_was_measured_under(phone):
    text = str(phone.summary())
    for words in ("cost model kvm-arm-2016", "board a", "mmu minivisor", phone.trace.digest()[:16]):
        assert words in text


def test_it_is_json(phone):
    data = json.loads(json.dumps(phone.summary().as_dict()))
    assert data["cost_model"] == "kvm-arm-2016" and data["digest"] == phone.trace.digest()
    assert data["exits"]["Trapped WFI or WFE"]["total"] == sum(
        data["exits"]["Trapped WFI or WFE"][name] for name in ("Ada <b>", "Ada at work")
    )
    assert data["personas"][0]["report"].startswith("persona 'Ada <b>' stopped")


def test_html_escapes_what_a_guest_is_called(phone):
    html = phone.summary()._repr_html_()
    assert "Ada &lt;b&gt;" in html and "<b>" not in html


def test_two_personas_of_one_name_are_added_up():
    summary = Phone({"name": "twin"}, {"name": "twin"}).run("100ms").summary()
    for row in summary.exits.rows:
        assert summary.as_dict()["exits"][row[0]]["twin"] == row[-1]
