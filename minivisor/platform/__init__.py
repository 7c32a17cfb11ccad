"""What every guest sees on every board: the devices of the virtual platform, and the tree that describes them.

The devices know neither EL2 nor each other: registers in, registers out, and a line that is high or low. The hypervisor puts
them on a persona's `Bus` and carries their lines to its vGIC.
"""
