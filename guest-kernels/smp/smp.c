/*
 * smp: up to eight CPUs that do to each other what CPUs do, and say whether it had the effect the architecture promises.
 *
 * CPU 0 leads. It opens one check after another by its number in `phase`; every other CPU plays its part in that check and
 * reports in `done`; then CPU 0 judges and prints one line:
 *
 *     CPU 0      open ──────── its part ──── until all are done ── judge, print ──► next
 *     others     WFE … phase ── their part ── done + 1 ── WFE …
 *
 * At the end the others are off again, and CPU 0 ends the machine.
 */

#include "smp.h"

#include <stdbool.h>

#include "gicv3.h"
#include "mmu.h"
#include "pl011.h"
#include "print.h"
#include "smccc.h"

#define PSCI_CPU_OFF 0x84000002u
#define PSCI_CPU_ON 0xc4000003u
#define PSCI_AFFINITY_INFO 0xc4000004u
#define PSCI_OFF 1
#define PSCI_INVALID_PARAMETERS (-2l)
#define PSCI_ALREADY_ON (-4l)

#define RAM_BASE 0x40000000ul
#define GIC_BASE 0x08000000ul
#define GIC_SIZE 0x20000ul
#define WINDOW 0x80000000ul /* a page whose mapping changes */

#define TURNS 200u /* under the lock, for each CPU */
#define ROUNDS 4u  /* of the SGI around the ring */
#define SGI_RING 1
#define SGI_CALL 2
#define SGI_REPLY 3 /* and the next seven */

extern char __text_start[], __user_start[], __user_end[], __image_end[];

static u64 *root;
static u32 cpus, failures;
static u32 phase, done;

/* ── the checks: what CPU 0 does, what the others do, and whether it went well ── */

static u32 started[MAXIMUM_CPUS];

static long cpu_on(u32 cpu) { return hvc(PSCI_CPU_ON, cpu, (u64)secondary_entry, (u64)root + cpu); }

static bool start_all(void)
{
    bool fine = cpu_on(cpus) == PSCI_INVALID_PARAMETERS && cpu_on(0) == PSCI_ALREADY_ON;
    for (u32 cpu = 1; cpu < cpus; cpu++)
        fine &= cpu_on(cpu) == 0;
    for (u32 cpu = 1; cpu < cpus; cpu++)
        wait_until(&started[cpu], 1);
    return fine;
}

static u32 lock_word, counter; /* the counter is changed by plain loads and stores: only the lock keeps it right */

static void count(u32 cpu)
{
    (void)cpu;
    for (u32 turn = 0; turn < TURNS; turn++) {
        lock(&lock_word);
        *(volatile u32 *)&counter = *(volatile u32 *)&counter + 1;
        unlock(&lock_word);
    }
}

static bool counted(void) { return counter == cpus * TURNS; }

static u32 contended, reserved, stored, store_failed;

/* CPU 0 holds a reservation; CPU 1 stores to the word, then CPU 0 tries to. */
static void break_reservation(u32 cpu)
{
    if (cpus == 1)
        return;
    if (cpu == 0) {
        load_exclusive(&contended);
        announce(&reserved, 1);
        wait_until(&stored, 1);
        store_failed = store_exclusive(&contended, 77);
    } else if (cpu == 1) {
        wait_until(&reserved, 1);
        store(&contended, 42);
        announce(&stored, 1);
    }
}

static bool reservation_lost(void) { return cpus == 1 || (store_failed == 1 && contended == 42); }

static u32 turn_of; /* whose turn it is; each hands it to the next by an event */

static void pass_event(u32 cpu)
{
    for (u32 round = 0; round < ROUNDS; round++) {
        wait_until(&turn_of, round * cpus + cpu);
        announce(&turn_of, round * cpus + cpu + 1);
    }
}

static bool events_went_round(void) { return turn_of == ROUNDS * cpus; }

static void pass_sgi(u32 cpu)
{
    u32 before = (cpu + cpus - 1) % cpus, after = 1u << (cpu + 1) % cpus;
    if (cpu == 0)
        sgi_to(after, SGI_RING);
    for (u32 round = 1; round <= ROUNDS; round++) {
        sgi_wait(cpu, SGI_RING, before, round);
        if (cpu != 0 || round != ROUNDS)
            sgi_to(after, SGI_RING);
    }
}

static bool sgis_went_round(void)
{
    for (u32 cpu = 0; cpu < cpus; cpu++) {
        u32 before = (cpu + cpus - 1) % cpus;
        if (sgi_received(cpu, SGI_RING, before) != ROUNDS || sgi_received_from_all(cpu, SGI_RING) != ROUNDS)
            return 0;
    }
    return 1;
}

/* One SGI to all others at once; each answers, on a GICv2 with the same id: CPU 0 has several senders of one interrupt. */
static void call_all(u32 cpu)
{
    if (cpu != 0) {
        sgi_wait(cpu, SGI_CALL, 0, 1);
        sgi_to(1, sgi_of(cpu, SGI_REPLY));
        return;
    }
    sgi_to_others(SGI_CALL);
    for (u32 other = 1; other < cpus; other++)
        sgi_wait(0, sgi_of(other, SGI_REPLY), other, 1);
}

static bool all_answered(void)
{
    u32 replies = 0;
    for (u32 other = 1; other < cpus; other++)
        replies += sgi_received(0, sgi_of(other, SGI_REPLY), other);
    return replies == cpus - 1 && sgi_received_from_all(0, SGI_CALL) == 0;
}

static u32 pages[2][PAGE_SIZE / sizeof(u32)] __attribute__((aligned(4096)));
static u32 remapped, looked, wrong;

static u64 *window_entry(void)
{
    u64 *table = (u64 *)(root[WINDOW >> 30 & 511] & PTE_ADDRESS);
    table = (u64 *)(table[WINDOW >> 21 & 511] & PTE_ADDRESS);
    return &table[WINDOW >> 12 & 511];
}

/* Break before make (DDI 0487, D8.14.1): every other CPU has used the old translation, and none may see it afterwards. */
static void remap(void)
{
    *(volatile u64 *)window_entry() = 0;
    dsb_ish();
    __asm__ volatile("tlbi vaae1is, %0\n\tdsb ish\n\tisb" ::"r"(WINDOW >> 12) : "memory");
    *(volatile u64 *)window_entry() = (u64)pages[1] | MAP_DATA | PTE_TABLE | PTE_VALID;
    dsb_ish();
    isb();
}

static void look_at_window(u32 cpu)
{
    if (cpu == 0) {
        wait_until(&looked, cpus - 1);
        remap();
        announce(&remapped, 1);
    } else {
        if (*(volatile u32 *)WINDOW != 0xa)
            add(&wrong, 1);
        add(&looked, 1);
        sev();
        wait_until(&remapped, 1);
    }
    if (*(volatile u32 *)WINDOW != 0xb)
        add(&wrong, 1);
}

static bool window_is_new(void) { return wrong == 0; }

static bool all_off(void)
{
    for (u32 cpu = 1; cpu < cpus; cpu++)
        while (hvc(PSCI_AFFINITY_INFO, cpu, 0, 0) != PSCI_OFF)
            __asm__ volatile("yield");
    return 1;
}

static void go_off(u32 cpu)
{
    if (cpu == 0)
        return;
    add(&done, 1);
    sev();
    hvc(PSCI_CPU_OFF, 0, 0, 0);
    unexpected(cpu);
}

static const struct check {
    const char *name;
    void (*part)(u32 cpu);
    bool (*judge)(void);
} checks[] = {
    {"lock", count, counted},
    {"exclusive", break_reservation, reservation_lost},
    {"event", pass_event, events_went_round},
    {"sgi ring", pass_sgi, sgis_went_round},
    {"sgi to all", call_all, all_answered},
    {"tlbi", look_at_window, window_is_new},
    {"off", go_off, all_off},
};

/* ── the frame around them ── */

static void report(const char *name, bool fine)
{
    print("smp: ");
    print(name);
    print(fine ? ", ok\n" : ", WRONG\n");
    failures += !fine;
}

static void run(u32 number)
{
    store(&done, 0);
    announce(&phase, number + 1);
    checks[number].part(0);
    wait_until(&done, cpus - 1);
    report(checks[number].name, checks[number].judge());
}

void secondary(u32 cpu)
{
    gic_enable(cpu);
    announce(&started[cpu], (read_sysreg(mpidr_el1) & 0xffffff) == cpu);
    for (u32 number = 0; number < ARRAY_LENGTH(checks); number++) {
        wait_until(&phase, number + 1);
        checks[number].part(cpu);
        add(&done, 1);
        sev();
    }
}

void unexpected(u64 vector)
{
    print("smp: unexpected exception, vector ");
    print_decimal(vector);
    print(", ESR ");
    print_hex(read_sysreg(esr_el1));
    print("\n");
    psci_system_off();
}

static void enable_mmu(void)
{
    u64 text = (u64)__text_start, data = (u64)__user_end;
    u64 end = ((u64)__image_end + BLOCK_SIZE - 1) & ~(BLOCK_SIZE - 1);
    root = mmu_new_table();
    mmu_map(root, RAM_BASE, RAM_BASE, text - RAM_BASE, MAP_DATA);
    mmu_map(root, text, text, (u64)__user_start - text, MAP_TEXT);
    mmu_map(root, data, data, end - data, MAP_DATA);
    mmu_map(root, GIC_BASE, GIC_BASE, GIC_SIZE, MAP_DEVICE);
    if (gicv3_present())
        mmu_map(root, GICV3_FRAMES, GICV3_FRAMES, MAXIMUM_CPUS * GICV3_FRAME, MAP_DEVICE);
    mmu_map(root, pl011_base, pl011_base, PAGE_SIZE, MAP_DEVICE);
    mmu_map(root, WINDOW, (u64)pages[0], PAGE_SIZE, MAP_DATA);
    mmu_enable((u64)root, (u64)root);
}

void main(void)
{
    pl011_enable();
    write_sysreg(vbar_el1, vectors);
    enable_mmu();
    pages[0][0] = 0xa;
    pages[1][0] = 0xb;
    gic_enable(0);
    cpus = gic_cpus();
    print("smp: ");
    print_decimal(cpus);
    print(cpus == 1 ? " CPU\n" : " CPUs\n");
    report("start", start_all());
    for (u32 number = 0; number < ARRAY_LENGTH(checks); number++)
        run(number);
    print("smp: ");
    print_decimal(failures);
    print(" wrong\n");
    psci_system_off();
}
