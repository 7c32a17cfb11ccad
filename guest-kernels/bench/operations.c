/*
 * Single operations, each repeated, with the names that kvm-unit-tests' micro-bench gives to the same ones:
 *
 *     eoi             the spurious id to GICC_EOIR, which completes nothing
 *     mmio_read_vgic  a register of the distributor
 *     mmio_read_user  a register of a device that is no part of the interrupt controller
 *     timer           the virtual timer, due 1 us from now; WFI until its interrupt was taken
 *     ipi             an SGI to the other CPU, which sleeps in WFI; the two send in turns
 *     tlb             a load from a page that the TLB cannot know: after TLBI VMALLE1 one from each of TLB_PAGES
 *
 * `operations_done` counts what is done, so that whoever looks at memory from outside needs no exit to know.
 */

#include "arch.h"
#include "bench.h"
#include "mmu.h"
#include "smccc.h"

#define GICD_BASE 0x08000000ul /* GICv2, IHI 0048B, 4.3 and 4.4 */
#define GICC_BASE 0x08010000ul
#define GICD_CTLR (GICD_BASE + 0x000)
#define GICD_IIDR (GICD_BASE + 0x008)
#define GICD_ISENABLER (GICD_BASE + 0x100)
#define GICD_SGIR (GICD_BASE + 0xf00)
#define GICC_CTLR (GICC_BASE + 0x000)
#define GICC_PMR (GICC_BASE + 0x004)
#define GICC_IAR (GICC_BASE + 0x00c)
#define GICC_EOIR (GICC_BASE + 0x010)
#define GIC_SIZE 0x20000ul
#define SPURIOUS 1023
#define VIRTUAL_TIMER 27
#define RTC_BASE 0x09010000ul /* PL031; its first register counts seconds */

#define PSCI_CPU_ON 0xc4000003u
#define SGI 1

#define TLB_PAGES 1024ul
#define TLB_WINDOW 0x80001000ul /* one page off the memory behind it, so that no block can map it */
#define TLB_MEMORY 0x41000000ul

extern char secondary_entry[], vectors[];

volatile u64 operations_done;
static volatile u32 received[8]; /* interrupts, by CPU */
static u64 *tables;

void on_irq(void)
{
    u32 what = mmio_read32(GICC_IAR);
    if ((what & 0x3ff) == SPURIOUS)
        return;
    if ((what & 0x3ff) == VIRTUAL_TIMER)
        write_sysreg(cntv_ctl_el0, 0);
    received[read_sysreg(mpidr_el1) & 7]++;
    mmio_write32(GICC_EOIR, what);
}

__attribute__((noreturn)) void unexpected(u64 vector)
{
    (void)vector;
    psci_system_off();
}

/* Interrupts are masked between the look and the WFI, which wakes for a pending one all the same: none is slept through. */
static void wait_for(u32 cpu, u32 times)
{
    while (received[cpu] < times) {
        wfi();
        irq_enable();
        isb();
        irq_disable();
    }
}

static void gic_enable(void)
{
    mmio_write32(GICC_PMR, 0xf0);
    mmio_write32(GICC_CTLR, 1);
}

static void sgi_to(u32 cpu) { mmio_write32(GICD_SGIR, 1u << (16 + cpu) | SGI); }

void secondary(u32 cpu)
{
    gic_enable();
    for (u32 turn = 1;; turn++) {
        wait_for(cpu, turn);
        sgi_to(0);
    }
}

/* ── the operations ── */

static void eoi(u64 turns)
{
    for (; operations_done < turns; operations_done++)
        mmio_write32(GICC_EOIR, SPURIOUS);
}

static void mmio_read_vgic(u64 turns)
{
    for (; operations_done < turns; operations_done++)
        mmio_read32(GICD_IIDR);
}

static void mmio_read_user(u64 turns)
{
    for (; operations_done < turns; operations_done++)
        mmio_read32(RTC_BASE);
}

static void timer(u64 turns)
{
    u64 microsecond = read_sysreg(cntfrq_el0) / 1000000;
    mmio_write32(GICD_ISENABLER, 1u << VIRTUAL_TIMER);
    for (; operations_done < turns; operations_done++) {
        write_sysreg(cntv_tval_el0, microsecond);
        write_sysreg(cntv_ctl_el0, 1);
        isb();
        wait_for(0, (u32)operations_done + 1);
    }
}

static void ipi(u64 turns)
{
    if (hvc(PSCI_CPU_ON, 1, (u64)secondary_entry, (u64)tables + 1) != 0)
        return;
    for (; operations_done < turns; operations_done += 2) {
        sgi_to(1);
        wait_for(0, (u32)(operations_done / 2) + 1);
    }
}

static void tlb(u64 turns)
{
    mmu_map(tables, TLB_WINDOW, TLB_MEMORY, TLB_PAGES * PAGE_SIZE, MAP_DATA);
    dsb_ish();
    for (; operations_done < turns; operations_done += TLB_PAGES) {
        __asm__ volatile("tlbi vmalle1\n\tdsb nsh\n\tisb" ::: "memory");
        for (u64 page = 0; page < TLB_PAGES; page++)
            *(volatile u64 *)(TLB_WINDOW + page * PAGE_SIZE);
    }
}

const struct operation operation_table[] = {
    {"eoi", eoi},     {"mmio_read_vgic", mmio_read_vgic}, {"mmio_read_user", mmio_read_user},
    {"timer", timer}, {"ipi", ipi},                       {"tlb", tlb},
    {0, 0},
};

void prepare_operations(u64 *root)
{
    tables = root;
    mmu_map(root, GICD_BASE, GICD_BASE, GIC_SIZE, MAP_DEVICE);
    mmu_map(root, RTC_BASE, RTC_BASE, PAGE_SIZE, MAP_DEVICE);
    write_sysreg(vbar_el1, vectors);
    isb();
    mmio_write32(GICD_CTLR, 1);
    gic_enable();
}
