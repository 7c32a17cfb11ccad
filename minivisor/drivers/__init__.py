"""EL2's drivers: what a board has and how it is spoken to, so that nothing in `hypervisor/` asks which board it is on."""
