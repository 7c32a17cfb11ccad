"""virtio: registers of the MMIO transport, bits of the status, flags of the split virtqueue, device and feature numbers.

A driver finds a device by reading MagicValue, Version and DeviceID, agrees with it on features, tells it where in memory
its queues are, and from then on the two talk through those; the registers only ring.

Source: Virtual I/O Device (VIRTIO) Version 1.2, Committee Specification 01 (OASIS, 2022). Sections stand at each class.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

__all__ = [
    "CONFIG",
    "MAGIC",
    "SLOTS",
    "SLOT_SIZE",
    "VERSION",
    "Avail",
    "Block",
    "BlockStatus",
    "BlockType",
    "Descriptor",
    "DeviceId",
    "Feature",
    "InputSelect",
    "Interrupt",
    "Mmio",
    "Net",
    "Status",
]

MAGIC = 0x7472_6976  # "virt"
VERSION = 2
CONFIG = 0x100  # where the device's own configuration space begins (4.2.2)
SLOTS, SLOT_SIZE = 32, 0x200  # the `virt` platform's: DESIGN, section 4


class Mmio(IntEnum):
    """Offsets in bytes (4.2.2, "MMIO Device Register Layout"). Registers are 32 bits wide."""

    MAGIC_VALUE = 0x000
    VERSION = 0x004
    DEVICE_ID = 0x008
    VENDOR_ID = 0x00C
    DEVICE_FEATURES = 0x010
    DEVICE_FEATURES_SEL = 0x014
    DRIVER_FEATURES = 0x020
    DRIVER_FEATURES_SEL = 0x024
    QUEUE_SEL = 0x030
    QUEUE_NUM_MAX = 0x034
    QUEUE_NUM = 0x038
    QUEUE_READY = 0x044
    QUEUE_NOTIFY = 0x050
    INTERRUPT_STATUS = 0x060
    INTERRUPT_ACK = 0x064
    STATUS = 0x070
    QUEUE_DESC_LOW = 0x080
    QUEUE_DESC_HIGH = 0x084
    QUEUE_DRIVER_LOW = 0x090
    QUEUE_DRIVER_HIGH = 0x094
    QUEUE_DEVICE_LOW = 0x0A0
    QUEUE_DEVICE_HIGH = 0x0A4
    SHM_SEL = 0x0AC
    SHM_LEN_LOW = 0x0B0
    SHM_LEN_HIGH = 0x0B4
    SHM_BASE_LOW = 0x0B8
    SHM_BASE_HIGH = 0x0BC
    QUEUE_RESET = 0x0C0
    CONFIG_GENERATION = 0x0FC


class Status(IntFlag):
    """The Status register (2.1, "Device Status Field")."""

    ACKNOWLEDGE = 1
    DRIVER = 2
    DRIVER_OK = 4
    FEATURES_OK = 8
    DEVICE_NEEDS_RESET = 64
    FAILED = 128


class Interrupt(IntFlag):
    """InterruptStatus and InterruptACK (4.2.2)."""

    USED_BUFFER = 1
    CONFIGURATION = 2


class DeviceId(IntEnum):
    """Chapter 5, "Device Types". 0 is a slot without a device."""

    NONE = 0
    NET = 1
    BLOCK = 2
    CONSOLE = 3
    ENTROPY = 4
    INPUT = 18


class Feature(IntEnum):
    """Bit numbers of the features that all devices share (chapter 6, "Reserved Feature Bits")."""

    INDIRECT_DESC = 28
    EVENT_IDX = 29
    VERSION_1 = 32


class Descriptor(IntFlag):
    """virtq_desc.flags (2.7.5)."""

    NEXT = 1
    WRITE = 2
    INDIRECT = 4


class Avail(IntFlag):
    """virtq_avail.flags (2.7.6)."""

    NO_INTERRUPT = 1


class Net(IntEnum):
    """Feature bit numbers of a network device (5.1.3)."""

    MAC = 5
    STATUS = 16


class Block(IntEnum):
    """Feature bit numbers of a block device (5.2.3)."""

    SIZE_MAX = 1
    SEG_MAX = 2
    RO = 5
    BLK_SIZE = 6
    FLUSH = 9
    DISCARD = 13
    WRITE_ZEROES = 14


class BlockType(IntEnum):
    """What a block request asks for (5.2.6)."""

    IN = 0
    OUT = 1
    FLUSH = 4
    GET_ID = 8
    DISCARD = 11
    WRITE_ZEROES = 13


class BlockStatus(IntEnum):
    """How it ended (5.2.6)."""

    OK = 0
    IOERR = 1
    UNSUPP = 2


class InputSelect(IntEnum):
    """What an input device is asked about (5.8.4, virtio_input_config.select)."""

    UNSET = 0x00
    ID_NAME = 0x01
    ID_SERIAL = 0x02
    ID_DEVIDS = 0x03
    PROP_BITS = 0x10
    EV_BITS = 0x11
    ABS_INFO = 0x12
