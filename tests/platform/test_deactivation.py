"""GICV_DIR as a device: which interrupt it deactivates, and when it does nothing."""

import pytest

from minivisor.hypervisor.vgic import Vgic
from minivisor.platform.deactivation import Deactivation


@pytest.fixture
def vgic():
    """Interrupts 3 (from CPU 1), 27 and 40 are active on CPU 0."""
    vgic = Vgic(2)
    for intid in (3, 27, 40):
        irq = vgic.interrupt(intid, 0)
        irq.active, irq.holder, irq.sender = True, 0, 1 if intid == 3 else 0
        vgic.settle(irq, 0)
    return vgic


def active(vgic):
    return {intid for intid in (3, 27, 40) if vgic.interrupt(intid, 0).active}


@pytest.mark.parametrize(
    ("value", "cpu", "left"),
    [
        (27, 0, {3, 40}),
        (40, 0, {3, 27}),
        (3 | 1 << 10, 0, {27, 40}),
        (3, 0, {3, 27, 40}),  # another sender's
        (27, 1, {3, 27, 40}),  # another CPU's
        (40, 1, {3, 27, 40}),
        (1023, 0, {3, 27, 40}),
        (500, 0, {3, 27, 40}),
    ],
)
def test_dir_names_its_interrupt(vgic, value, cpu, left):
    Deactivation(vgic, lambda: True).write(0, 4, value, cpu)
    assert active(vgic) == left


@pytest.mark.parametrize(("offset", "width", "mode"), [(0, 4, False), (4, 4, True), (0, 1, True)])
def test_without_eoi_mode_or_beside_the_register_nothing_happens(vgic, offset, width, mode):
    device = Deactivation(vgic, lambda: mode)
    device.write(offset, width, 27, 0)
    assert active(vgic) == {3, 27, 40}
    assert device.read(offset, width, 0) == 0
