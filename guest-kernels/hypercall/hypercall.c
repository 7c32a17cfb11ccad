/*
 * hypercall: a guest that wants to know something only its hypervisor can tell it, how long it has really run.
 *
 * Its virtual counter goes on while somebody else has the core, so the guest cannot measure its own share. It asks: the
 * function id in W0, HVC #0, nanoseconds back in X0 (DEN0028, SMCCC; 0xC6000001 is ours, in the vendor-specific range).
 * The answers become a chart, time since the start to the right, time it ran upwards, both in steps of INTERVAL:
 *
 *        │        ·  the whole core: a slope of 1
 *        │     ·  ▄  what this guest got of it: half a core climbs half as fast
 *        │  ·  ▄▄▄█
 *        └─────────
 *
 * Where no sensible answer came the column stays grey. Two habits of a hypervisor are probed on the side, and reported on
 * the console: what it says to a call it does not know, and whether the instruction after an HVC is executed.
 *
 * It computes between two questions instead of sleeping, so that two of these guests fight over the core.
 */

#include "fdt.h"
#include "pl011.h"
#include "print.h"
#include "smccc.h"

#define RAM_BASE 0x40000000ul
#define HOW_LONG_HAVE_I_RUN 0xc6000001u
#define NOBODY_KNOWS_THIS 0xc600007fu

#define INTERVAL 2000000ul /* ns */
#define REPORT 10ul        /* a line on the console every so many intervals */

#define INK_DIAGONAL 0xffffu
#define INK_BACKGROUND 0x10a2u
#define INK_NO_ANSWER 0x52aau

static struct {
    u64 framebuffer;
    u32 width, height, stride, colour;
} screen = {0, 160, 240, 320, 0x2266cc};

static void read_tree(const void *blob)
{
    struct fdt tree;
    struct fdt_node node = {0};
    u64 size;
    if (!fdt_open(&tree, blob))
        return;
    while (fdt_next_node(&tree, &node)) {
        if (node.depth == 2 && text_equal(node.name, "chosen"))
            fdt_word(&tree, &node, "minivisor,colour", 0, &screen.colour);
        if (fdt_compatible(&tree, &node, "simple-framebuffer")) {
            fdt_reg(&tree, &node, 0, &screen.framebuffer, &size);
            fdt_word(&tree, &node, "width", 0, &screen.width);
            fdt_word(&tree, &node, "height", 0, &screen.height);
            fdt_word(&tree, &node, "stride", 0, &screen.stride);
        }
    }
}

static u16 ink(u32 colour) { return (u16)((colour >> 8 & 0xf800) | (colour >> 5 & 0x07e0) | (colour >> 3 & 0x001f)); }

static void dot(u32 x, u32 y, u16 colour)
{
    if (screen.framebuffer && x < screen.width && y < screen.height)
        *(volatile u16 *)(screen.framebuffer + y * screen.stride + 2 * x) = colour;
}

/* One column, `height` pixels of `colour` from the bottom, the diagonal over it. */
static void column(u32 x, u64 height, u16 colour)
{
    for (u32 up = 0; up < screen.height; up++)
        dot(x, screen.height - 1 - up, up < height ? colour : INK_BACKGROUND);
    if (x % 4 < 2)
        dot(x, screen.height - 1 - x, INK_DIAGONAL);
}

static u64 nanoseconds(void)
{
    isb();
    return read_sysreg(cntvct_el0) * 1000 / (read_sysreg(cntfrq_el0) / 1000000);
}

/* About 130,000 instructions, in blocks long enough that the emulator's own book-keeping does not show. */
static void compute(void)
{
    for (u32 turn = 0; turn < 1024; turn++)
        __asm__ volatile(".rept 126\n\tadd x9, x9, #1\n\t.endr" ::: "x9");
}

/* Two moves around an HVC: the second one shows whether the guest went on at the very next instruction. */
static bool next_instruction_is_executed(void)
{
    register u64 x0 __asm__("x0") = NOBODY_KNOWS_THIS;
    register u64 x19 __asm__("x19");
    __asm__ volatile("mov %1, #0\n\thvc #0\n\tmov %1, #1"
                     : "+r"(x0), "=&r"(x19)::"x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12",
                       "x13", "x14", "x15", "x16", "x17", "memory");
    return x19 == 1;
}

static void report_habits(void)
{
    long answer = hvc(NOBODY_KNOWS_THIS, 0, 0, 0);
    print(answer == SMCCC_NOT_SUPPORTED ? "unknown call: not supported\n" : "unknown call: answered\n");
    print(next_instruction_is_executed() ? "after HVC: the next instruction\n" : "after HVC: an instruction was skipped\n");
}

static void report_share(u64 elapsed, u64 ran, bool sensible)
{
    print_decimal(elapsed / 1000);
    print(sensible ? " us, ran " : " us, no answer: ");
    if (sensible)
        print_decimal(ran / 1000);
    else
        print_hex(ran);
    print(sensible ? " us\n" : "\n");
}

void main(const void *blob)
{
    read_tree(blob ? blob : (const void *)RAM_BASE);
    pl011_enable();
    report_habits();
    u64 start = nanoseconds(), left = 0; /* left: the answer at the left edge of the chart */
    for (u64 step = 0;; step++) {
        while (nanoseconds() - start < step * INTERVAL)
            compute();
        u64 elapsed = nanoseconds() - start;
        u64 ran = (u64)hvc(HOW_LONG_HAVE_I_RUN, 0, 0, 0);
        bool sensible = ran <= elapsed + start; /* nobody has run for longer than time has passed */
        u32 x = (u32)(step % screen.width);
        if (x == 0)
            left = ran;
        column(x, sensible ? (ran - left) / INTERVAL : screen.height, sensible ? ink(screen.colour) : INK_NO_ANSWER);
        if (step % REPORT == 0)
            report_share(elapsed, ran, sensible);
    }
}
