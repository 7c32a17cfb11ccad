"""What reading the counter costs: nothing, unless the model says so; then guests that poll it wait for fewer instructions."""

import pytest

from minivisor.hypervisor.cost import COST_MODELS
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM, PersonaSettings
from minivisor.machine.board import Machine
from minivisor.platform.image import load_image
from tests.machine import a64

LOOPS, TICKS = 500, 16


@pytest.fixture
def image(tmp_path):
    """Read the virtual counter LOOPS times, the last into X5, then power off."""
    loop = [*a64.MOV(2, LOOPS), a64.mrs(5, "CNTVCT_EL0"), a64.SUBS(2, 2, 1), a64.CBNZ(2, -8)]
    words = [*loop, *a64.MOV(0, 0x8400_0008), a64.HVC(0)]
    (tmp_path / "poll.bin").write_bytes(b"".join(word.to_bytes(4, "little") for word in words))
    return load_image(tmp_path / "poll.bin", RAM, 64 << 20)


def test_under_polling_each_read_takes_a_microsecond_that_the_guest_sees(image):
    ended, seen = {}, {}
    for name, model in COST_MODELS.items():
        hypervisor = Hypervisor(Machine(), cost=model)
        persona = hypervisor.add(PersonaSettings("poll"), image)
        hypervisor.run(1_000_000_000)
        assert persona.status == "off"
        ended[name], seen[name] = hypervisor.now, persona.vcpus[0].state["X5"]
    assert ended["polling"] - ended["kvm-arm-2016"] == LOOPS * COST_MODELS["polling"].counter == LOOPS * 1000
    assert seen["polling"] - seen["kvm-arm-2016"] in range((LOOPS - 1) * 1000 // TICKS, LOOPS * 1000 // TICKS + 1)
    assert ended["zero"] < ended["kvm-arm-2016"]


def test_a_slice_ends_on_time_although_time_runs_while_it_polls(image):
    hypervisor = Hypervisor(Machine(), cost=COST_MODELS["polling"])
    hypervisor.add(PersonaSettings("poll"), image)
    hypervisor.run(100_000)
    assert 100_000 <= hypervisor.now < 103_000
