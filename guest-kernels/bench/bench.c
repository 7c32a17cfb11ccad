/*
 * bench: a guest to be measured, in ways that /chosen bootargs choose from:
 *
 *     mixed [ROUNDS]   mixed C with its MMU on (workload.c); more than 500 million instructions unless told otherwise
 *     hvc [TURNS]      HVC calls of a function that no hypervisor has, so each is one exit and one answer
 *     svc [TURNS]      calls from EL0 to EL1 and back, which a hypervisor should not even notice
 *     NAME [TURNS]     one operation of operations.c: eoi, mmio_read_vgic, mmio_read_user, timer, ipi, tlb
 *
 * Its line says what was done, the checksum or the count, and the nanoseconds its own counter saw.
 */

#include "bench.h"

#include "fdt.h"
#include "mmu.h"
#include "pl011.h"
#include "print.h"
#include "smccc.h"

#define RAM_BASE 0x40000000ul
#define DEFAULT_TURNS 100000ul
#define UNKNOWN_FUNCTION 0x8600ff00u /* in the range of vendor-specific hypervisor services (DEN0028, 6.1) */

extern char __text_start[], __user_start[], __user_end[], __image_end[], user_vectors[];

void run_at_el0(u64 turns);

static u64 nanoseconds(void)
{
    isb();
    return read_sysreg(cntvct_el0) * 1000 / (read_sysreg(cntfrq_el0) / 1000000);
}

/* Identity mapping: what is code is read-only, what EL0 runs is not for EL1 to run, the rest of RAM is data. */
static u64 *enable_mmu(void)
{
    u64 text = (u64)__text_start, user = (u64)__user_start, data = (u64)__user_end;
    u64 end = ((u64)__image_end + BLOCK_SIZE - 1) & ~(BLOCK_SIZE - 1);
    u64 *root = mmu_new_table();
    mmu_map(root, RAM_BASE, RAM_BASE, text - RAM_BASE, MAP_DATA);
    mmu_map(root, text, text, user - text, MAP_TEXT);
    mmu_map(root, user, user, data - user, MAP_USER_TEXT);
    mmu_map(root, data, data, end - data, MAP_DATA);
    mmu_map(root, pl011_base, pl011_base, PAGE_SIZE, MAP_DEVICE);
    mmu_enable((u64)root, (u64)root);
    return root;
}

static void read_bootargs(const void *blob, char *text, u32 size)
{
    struct fdt tree;
    struct fdt_node node = {0};
    if (!fdt_open(&tree, blob))
        return;
    while (fdt_next_node(&tree, &node))
        if (node.depth == 2 && text_equal(node.name, "chosen"))
            fdt_string(&tree, &node, "bootargs", text, size);
}

/* Splits "word number" in place and returns the number, or `otherwise`. */
static u64 split(char *text, u64 otherwise)
{
    while (*text && *text != ' ')
        text++;
    if (*text)
        *text++ = 0;
    if (*text < '0' || *text > '9')
        return otherwise;
    u64 number = 0;
    for (; *text >= '0' && *text <= '9'; text++)
        number = number * 10 + (u64)(*text - '0');
    return number;
}

static void report(const char *what, u64 count, u64 started)
{
    u64 taken = nanoseconds() - started;
    print("bench: ");
    print(what);
    print(" ");
    print_decimal(count);
    print(", ");
    print_decimal(taken);
    print(" ns\n");
}

static void run_mixed(u64 rounds)
{
    u64 started = nanoseconds();
    u64 sum = mixed(rounds);
    print("bench: checksum ");
    print_hex(sum);
    print("\n");
    report("mixed", rounds, started);
}

static void run_hvc(u64 turns)
{
    u64 started = nanoseconds(), refused = 0;
    for (u64 i = 0; i < turns; i++)
        refused += hvc(UNKNOWN_FUNCTION, i, 0, 0) == SMCCC_NOT_SUPPORTED;
    report("hvc", refused, started);
}

static void run_svc(u64 turns)
{
    u64 started = nanoseconds();
    run_at_el0(turns);
    report("svc", turns, started);
}

/* Is there an operation of this name? Then it has run. */
static int run_operation(const char *name, u64 turns, u64 *root)
{
    const struct operation *operation = operation_table;
    while (operation->name && !text_equal(name, operation->name))
        operation++;
    if (!operation->name)
        return 0;
    prepare_operations(root);
    u64 started = nanoseconds();
    operation->run(turns);
    report(name, turns, started);
    return 1;
}

void main(const void *tree)
{
    char arguments[32] = "mixed";
    read_bootargs(tree ? tree : (const void *)RAM_BASE, arguments, sizeof(arguments));
    u64 number = split(arguments, 0);
    pl011_enable();
    write_sysreg(vbar_el1, user_vectors);
    write_sysreg(cpacr_el1, 3ul << 20); /* FPEN: FP at EL1 and EL0 */
    u64 *root = enable_mmu();
    if (text_equal(arguments, "mixed"))
        run_mixed(number ? number : DEFAULT_ROUNDS);
    else if (text_equal(arguments, "hvc"))
        run_hvc(number ? number : DEFAULT_TURNS);
    else if (text_equal(arguments, "svc"))
        run_svc(number ? number : DEFAULT_TURNS);
    else if (!run_operation(arguments, number ? number : DEFAULT_TURNS, root))
        print("bench: bootargs are mixed, hvc, svc or an operation, and a number\n");
    psci_system_off();
}
