"""Facts of the Arm architecture, and no state: what bits mean, what numbers are called, how words are encoded.

Nothing here knows that a machine exists. `bits` is the machinery; the other modules are declarations that cite their
source: DDI 0487 issue I.a (the Arm ARM), IHI 0048B.b (GICv2), DDI 0183G (PL011), DDI 0224B (PL031), DEN0022E (PSCI),
DEN0028E (SMCCC). The issue letters are given here, once.
"""
