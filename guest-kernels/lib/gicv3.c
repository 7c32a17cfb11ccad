/*
 * GICv3 by affinity: GICD for what is shared, a redistributor for each CPU, ICC_* in place of a CPU interface page.
 *
 *     GICR of CPU n, 128 KiB:  RD_base  0x00008 TYPER (bit 4: the last one)   0x00014 WAKER
 *                              SGI_base 0x10080 IGROUPR0                      0x10100 ISENABLER0
 *     ICC_SGI1R_EL1  40 all others   27:24 interrupt id   15:0 one bit for each Aff0 of this cluster
 *
 * ICC_SRE_EL1.SRE comes first: without it the other ICC_* are not there (IHI 0069, ICC_SRE_EL1).
 */

#include "gicv3.h"

#define GICD_CTLR 0x08000000ul
#define CTLR_ARE (1u << 4)
#define CTLR_GROUP_1 (1u << 1)

#define GICR_TYPER 0x00008
#define GICR_WAKER 0x00014
#define TYPER_LAST (1u << 4)
#define PROCESSOR_SLEEP (1u << 1)
#define CHILDREN_ASLEEP (1u << 2)
#define SGIS 0xffffu

static u64 frame(u32 cpu) { return GICV3_FRAMES + cpu * GICV3_FRAME; }

u32 gicv3_present(void) { return read_sysreg(id_aa64pfr0_el1) >> 24 & 15; }

u32 gicv3_cpus(void)
{
    u32 cpus = 1;
    while (!(mmio_read32(frame(cpus - 1) + GICR_TYPER) & TYPER_LAST))
        cpus++;
    return cpus;
}

static void wake(u64 redistributor)
{
    mmio_write32(redistributor + GICR_WAKER, mmio_read32(redistributor + GICR_WAKER) & ~PROCESSOR_SLEEP);
    while (mmio_read32(redistributor + GICR_WAKER) & CHILDREN_ASLEEP)
        ;
}

void gicv3_enable(u32 cpu)
{
    if (cpu == 0)
        mmio_write32(GICD_CTLR, CTLR_ARE | CTLR_GROUP_1);
    wake(frame(cpu));
    mmio_write32(frame(cpu) + GICR_IGROUPR0, ~0u);
    mmio_write32(frame(cpu) + GICR_ISENABLER0, SGIS);
    write_sysreg(icc_sre_el1, read_sysreg(icc_sre_el1) | 1);
    isb();
    write_sysreg(icc_pmr_el1, 0xf0);
    write_sysreg(icc_igrpen1_el1, 1);
    isb();
}

u32 gicv3_acknowledge(void) { return (u32)read_sysreg(icc_iar1_el1); }

void gicv3_end(u32 intid) { write_sysreg(icc_eoir1_el1, intid); }

/* What was written before is seen by whoever takes the interrupt. */
static void request(u64 what)
{
    __asm__ volatile("dsb ishst" ::: "memory");
    write_sysreg(icc_sgi1r_el1, what);
    isb();
}

void gicv3_send(u32 targets, u32 intid) { request((u64)intid << 24 | targets); }

void gicv3_send_to_others(u32 intid) { request(1ul << 40 | (u64)intid << 24); }
