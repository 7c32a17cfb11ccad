/*
 * fuzz: a guest that does as it is told, whatever it is told.
 *
 * A program in the mailbox (fuzz.h) makes it issue hypercalls, touch system registers and devices, edit its own page
 * tables, drop to EL0 or execute words that are no instructions, in any order. It judges nothing: it only survives, so
 * that one boot gets through as much of a program as possible. What it cannot survive (vectors that are gone, a wait that
 * nothing ends) is the hypervisor's to notice.
 */

#include "fuzz.h"

#include "gicv3.h"
#include "mmu.h"
#include "smccc.h"

#define GICD 0x08000000ul
#define GICC 0x08010000ul
#define GICC_PMR 0x4
#define GICC_IAR 0xc
#define GICC_EOIR 0x10
#define GICD_ISENABLER0 0x100
#define WATCHDOG 1250 /* counter ticks of 16 ns until the virtual timer ends an operation */
#define GIC_EVERY 64  /* operations between two repairs of the distributor, which costs exits */
#define MAP_FUZZED (PTE_AF | PTE_SH_INNER | PTE_ATTRIBUTE(MAIR_NORMAL))

extern char vectors[], __text_end[];

static struct mailbox *const mailbox = (struct mailbox *)MAILBOX;
static u64 sctlr; /* as the program wants it: with or without the MMU */
static u32 version_3; /* of its interrupt controller */

static u64 *table(u64 number)
{
    return (u64 *)(TABLES + number * PAGE_SIZE);
}

/* One to one for the devices and 4 MiB of RAM. EL0 sees the code area; the playground is for the program to fill. */
static void build_tables(void)
{
    table(0)[0] = (u64)table(1) | PTE_TABLE | PTE_VALID;
    table(0)[1] = (u64)table(2) | PTE_TABLE | PTE_VALID;
    table(0)[2] = (u64)table(4) | PTE_TABLE | PTE_VALID;
    table(1)[GICD / BLOCK_SIZE] = GICD | MAP_DEVICE | PTE_AP_EL0 | PTE_VALID;
    table(1)[0x09000000 / BLOCK_SIZE] = 0x09000000 | MAP_DEVICE | PTE_AP_EL0 | PTE_VALID;
    table(2)[0] = (u64)table(3) | PTE_TABLE | PTE_VALID;
    table(2)[1] = (u64)table(6) | PTE_TABLE | PTE_VALID;
    table(4)[0] = (u64)table(5) | PTE_TABLE | PTE_VALID;
    for (u64 i = 0; i < 512; i++) {
        u64 pa = 0x40000000 + i * PAGE_SIZE;
        u64 access = pa >= CODE && pa < SCRATCH ? PTE_AP_EL0 | PTE_AP_READ_ONLY : 0;
        table(3)[i] = pa | MAP_FUZZED | access | PTE_TABLE | PTE_VALID;
        pa += BLOCK_SIZE;
        table(6)[i] = pa | (pa < (u64)__text_end ? MAP_TEXT : MAP_DATA) | PTE_TABLE | PTE_VALID;
        table(5)[i] = pa | MAP_FUZZED | PTE_AP_EL0 | PTE_TABLE | PTE_VALID;
    }
}

#define REPAIR(name, value)                   \
    do {                                      \
        if (read_sysreg(name) != (u64)(value)) \
            write_sysreg(name, value);        \
    } while (0)

static void repair_gicv3(u64 number)
{
    u32 intid = gicv3_acknowledge();
    if (intid < GICV3_SPURIOUS)
        gicv3_end(intid);
    write_sysreg(icc_pmr_el1, 0xff);
    write_sysreg(icc_igrpen1_el1, 1);
    if (number % GIC_EVERY == 0) {
        mmio_write32(GICD, 2);
        mmio_write32(GICV3_FRAMES + GICR_IGROUPR0, ~0u);
        mmio_write32(GICV3_FRAMES + GICR_ISENABLER0, 1u << 27);
    }
}

static void repair_gicv2(u64 number)
{
    u32 intid = mmio_read32(GICC + GICC_IAR);
    if (intid < 1020)
        mmio_write32(GICC + GICC_EOIR, intid);
    mmio_write32(GICC + GICC_PMR, 0xff);
    mmio_write32(GICC, 1);
    if (number % GIC_EVERY == 0) {
        mmio_write32(GICD, 1);
        mmio_write32(GICD + GICD_ISENABLER0, 1u << 27);
    }
}

/* What the last operation may have broken and the next one needs. */
static void repair(u64 number)
{
    u64 tcr = read_sysreg(tcr_el1);
    static u64 wanted_tcr;
    if (!wanted_tcr)
        wanted_tcr = tcr;
    REPAIR(ttbr0_el1, table(0));
    REPAIR(tcr_el1, wanted_tcr);
    REPAIR(sctlr_el1, sctlr);
    REPAIR(vbar_el1, vectors);
    REPAIR(cpacr_el1, 3 << 20);
    isb();
    if (version_3)
        repair_gicv3(number);
    else
        repair_gicv2(number);
    write_sysreg(cntv_tval_el0, WATCHDOG);
    write_sysreg(cntv_ctl_el0, 1);
}

static void make_visible(u64 address)
{
    __asm__ volatile("dc cvau, %0\n\tdsb ish\n\tic ivau, %0\n\tdsb ish\n\tisb" ::"r"(address) : "memory");
}

static void edit(u64 offset, u64 descriptor, u64 how)
{
    *(volatile u64 *)(TABLES + (offset % (TABLE_COUNT * PAGE_SIZE) & ~7ul)) = descriptor;
    dsb_ish();
    if (how & 1)
        __asm__ volatile("tlbi vmalle1" ::: "memory");
    else if (how & 2)
        __asm__ volatile("tlbi vaae1, %0" ::"r"(PLAYGROUND >> 12 | (offset >> 3 & 511)) : "memory");
    dsb_ish();
    isb();
}

/* How far the last operation came: its code is a straight line, unless it jumped away. */
static void count_executed(void)
{
    u64 words = (read_sysreg(elr_el1) - mailbox->start) / 4;
    if (words <= LONGEST)
        mailbox->executed += words;
    mailbox->start = 0;
}

/* Begun only once everything is repaired: an interpreter that was overwritten does not pretend to go on. */
static __attribute__((noreturn)) void begin(u64 number, u64 code, const struct operation *operation)
{
    mailbox->start = code;
    mailbox->done = number + 1;
    enter(code, FILES + operation->b % FILE_COUNT * 256, operation->c);
}

void next_operation(void)
{
    count_executed();
    for (;;) {
        u64 number = mailbox->done;
        if (number >= mailbox->count || number >= MAX_OPERATIONS)
            psci_system_off();
        repair(number);
        const struct operation *operation = &mailbox->operations[number];
        switch (operation->kind) {
        case KIND_RUN:
            begin(number, CODE + (operation->a % CODE_SIZE & ~3ul), operation);
        case KIND_EXECUTE:
            *(volatile u32 *)SCRATCH = (u32)operation->a;
            make_visible(SCRATCH);
            begin(number, SCRATCH, operation);
        case KIND_EDIT:
            mailbox->done = number + 1;
            mailbox->executed++;
            edit(operation->a, operation->b, operation->c);
        }
    }
}

void main(void)
{
    write_sysreg(vbar_el1, vectors);
    version_3 = gicv3_present();
    build_tables();
    mmu_enable((u64)table(0), (u64)table(0));
    sctlr = read_sysreg(sctlr_el1) & ~(1ul << 19); /* WXN off: the scratch page is written and run */
    if (!(mailbox->flags & 1))
        sctlr &= ~1ul;
    next_operation();
}
