"""EL2: hardware walks tables, presents list registers and takes exceptions; this builds, fills and answers.

In the order an exit flows through:

    hypervisor    who runs, until when, and what becomes of each outcome
    exits         a syndrome becomes one frozen dataclass
    handlers      one answer for each exception class; psci, emulate and aborts are its largest
    interrupts    vgic state into list registers and back, by the pure functions in list_registers; vtimer
    world         all registers of a vCPU out of the core, all of another's in; scheduler says whose
    stage2        what a persona can reach, written into tables over one walker; ownership says what it may reach
    persona       one guest: its image, its devices, each vcpu
    reference     all replaceable parts, behind the seam of `minivisor.stages`

All but `hypervisor`, `persona`, `interrupts` and `vcpu` is plain Python over plain data and never sees a machine.
"""
