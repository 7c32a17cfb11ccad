"""What the phone shows of itself: a translation of either persona, whether it is on the core or not."""

from __future__ import annotations

from minivisor import Phone


def test_a_walk_of_either_persona_ends_in_its_own_memory() -> None:
    """Where each persona's vCPU stands, translated for a fetch: its own RAM, whoever has the core; and nothing changes."""
    phone = Phone()
    phone.run("40ms")
    core, seen = phone.machine.core, set[int]()
    before = core.state.copy()
    loaded = core.read("VTTBR_EL2")
    for persona in phone.personas:
        pc = core.read("PC") if persona.vttbr == loaded else persona.vcpus[0].state["PC"]
        walk = phone.walk(pc, persona, "x")
        assert walk.fault is None and walk.pa is not None, walk
        assert persona.pa <= walk.pa < persona.pa + persona.settings.memory
        assert walk.ipa is not None and walk.ipa - walk.pa == 0x4000_0000 - persona.pa
        assert phone.machine.memory.read(walk.pa & -8) != 0
        seen.add(walk.pa)
    assert len(seen) == 2
    assert (core.state["reg"] == before["reg"]).all()
    assert "fetch at EL1" in phone.walk(pc, kind="x")._repr_html_()


def test_an_address_that_no_guest_maps_is_a_fault_that_shows() -> None:
    phone = Phone()
    phone.run("40ms")
    walk = phone.walk(0x1000)
    assert walk.fault is not None and walk.fault.stage == 1 and "translation fault" in str(walk)
