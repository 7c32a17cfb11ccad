/*
 * A GICv3 driver: what is private to a CPU, and software generated interrupts (IHI 0069).
 *
 * CPUs are numbered by affinity level 0, all in one cluster, as on the `virt` platform; interrupts are used in Group 1.
 */
#pragma once

#include "arch.h"

#define GICV3_SPURIOUS 1020 /* and above: there is none */
#define GICV3_FRAMES 0x080a0000ul /* the redistributors */
#define GICV3_FRAME 0x20000ul
#define GICR_IGROUPR0 0x10080
#define GICR_ISENABLER0 0x10100

u32 gicv3_present(void); /* does this CPU have GIC system registers (ID_AA64PFR0_EL1.GIC)? */
u32 gicv3_cpus(void);    /* redistributors up to the last one */

void gicv3_enable(u32 cpu); /* its SGIs, at the CPU that calls; CPU 0 switches the distributor on */

u32 gicv3_acknowledge(void);
void gicv3_end(u32 intid);

void gicv3_send(u32 targets, u32 intid); /* one bit a CPU */
void gicv3_send_to_others(u32 intid);
