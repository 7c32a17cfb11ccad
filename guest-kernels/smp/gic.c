/*
 * Software generated interrupts, of whichever GIC there is: a GICv3 if the CPU has its system registers, else a GICv2
 * (IHI 0048B, 4.3.15 GICD_SGIR and 4.4.4 GICC_IAR).
 *
 *     GICD_SGIR  25:24 filter (0 the list, 1 all others, 2 myself)  23:16 list, one bit a CPU  3:0 interrupt id
 *     GICC_IAR   12:10 the CPU that sent it                         9:0 interrupt id
 *
 * On a GICv2 an SGI is known by its id and its sender together: two CPUs may have sent the same id, and each is taken for
 * itself. A GICv3 has forgotten the sender, and two of one id are one; so there each CPU answers with an id of its own.
 */

#include "gicv3.h"
#include "smp.h"

#define GICD_BASE 0x08000000ul
#define GICC_BASE 0x08010000ul
#define GICD_CTLR (GICD_BASE + 0x000)
#define GICD_TYPER (GICD_BASE + 0x004) /* bits 7:5, CPUs less one */
#define GICD_SGIR (GICD_BASE + 0xf00)
#define GICC_CTLR (GICC_BASE + 0x000)
#define GICC_PMR (GICC_BASE + 0x004)
#define GICC_IAR (GICC_BASE + 0x00c)
#define GICC_EOIR (GICC_BASE + 0x010)

#define SGIS 16
#define SPURIOUS 1020 /* and above: there is none */

static u32 received[MAXIMUM_CPUS][SGIS][MAXIMUM_CPUS]; /* by sender; on a GICv3 all under 0 */

static u32 version_3; /* asked for once: under a hypervisor each look at an identification register may trap */

u32 gic_cpus(void) { return version_3 ? gicv3_cpus() : (mmio_read32(GICD_TYPER) >> 5 & 7) + 1; }

void gic_enable(u32 cpu)
{
    if (cpu == 0)
        version_3 = gicv3_present();
    if (version_3) {
        gicv3_enable(cpu);
        return;
    }
    if (cpu == 0)
        mmio_write32(GICD_CTLR, 1);
    mmio_write32(GICC_PMR, 0xf0);
    mmio_write32(GICC_CTLR, 1);
}

/* What was written before is seen by whoever takes the interrupt. */
static void send(u32 request)
{
    __asm__ volatile("dsb ishst" ::: "memory");
    mmio_write32(GICD_SGIR, request);
}

void sgi_to(u32 targets, u32 intid)
{
    if (version_3)
        gicv3_send(targets, intid);
    else
        send(targets << 16 | intid);
}

void sgi_to_others(u32 intid)
{
    if (version_3)
        gicv3_send_to_others(intid);
    else
        send(1u << 24 | intid);
}

static void on_gicv3_irq(u32 cpu)
{
    u32 intid = gicv3_acknowledge();
    if (intid >= GICV3_SPURIOUS)
        return;
    if (intid < SGIS)
        add(&received[cpu][intid][0], 1);
    gicv3_end(intid);
}

void on_irq(void)
{
    u32 cpu = (u32)read_sysreg(mpidr_el1) & 0xff;
    if (version_3) {
        on_gicv3_irq(cpu);
        return;
    }
    u32 what = mmio_read32(GICC_IAR);
    if ((what & 0x3ff) >= SPURIOUS)
        return;
    if ((what & 0x3ff) < SGIS)
        add(&received[cpu][what & 15][what >> 10 & 7], 1);
    mmio_write32(GICC_EOIR, what);
}

u32 sgi_received(u32 cpu, u32 intid, u32 sender) { return load(&received[cpu][intid][version_3 ? 0 : sender]); }

u32 sgi_received_from_all(u32 cpu, u32 intid)
{
    u32 total = 0;
    for (u32 sender = 0; sender < MAXIMUM_CPUS; sender++)
        total += load(&received[cpu][intid][sender]);
    return total;
}

u32 sgi_of(u32 cpu, u32 intid) { return version_3 ? intid + cpu : intid; }

/* Interrupts are masked between the look and the WFI, which wakes for a pending one all the same: none is slept through. */
void sgi_wait(u32 cpu, u32 intid, u32 sender, u32 times)
{
    while (sgi_received(cpu, intid, sender) < times) {
        wfi();
        irq_enable();
        isb();
        irq_disable();
    }
}
