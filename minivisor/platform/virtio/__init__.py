"""virtio devices over MMIO: one transport, one queue, and behind them a console, disks, a network, noise, keys and touch.

Written against the virtio 1.2 specification; its sections are cited where they are implemented. Nothing here knows of EL2:
a device reaches its guest's memory through `memory.GuestMemory`, hears of the world through `device.Device.post`, and has
an interrupt line and a deadline, as every device of the platform has.
"""
