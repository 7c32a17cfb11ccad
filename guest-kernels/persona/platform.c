/*
 * The device tree, read once, into the few numbers this kernel needs. Runs before the MMU is on, at physical addresses.
 *
 * A board may leave out the framebuffer and the /chosen settings, and then there are defaults; without memory, interrupt
 * controller, timer or console there is nothing to run on.
 */

#include "kernel.h"

#define RAM_LIMIT (4ul << 30) /* as much as the pool of tables is sure to map */

extern char __image_end[];

struct platform platform = {.name = "persona", .colour = 0x3366cc};

/* The interrupt id of a GIC specifier <type number flags>: type 0 is SPI, 1 is PPI (Linux's arm,gic binding). */
static bool read_interrupt(const struct fdt *tree, const struct fdt_node *node, u32 index, u32 *intid)
{
    u32 type, number;
    if (!fdt_word(tree, node, "interrupts", 3 * index, &type) ||
        !fdt_word(tree, node, "interrupts", 3 * index + 1, &number) || type > 1 || number > 987)
        return false;
    *intid = number + (type == 1 ? 16 : 32);
    return true;
}

static void read_chosen(const struct fdt *tree, const struct fdt_node *node)
{
    fdt_string(tree, node, "minivisor,name", platform.name, sizeof(platform.name));
    fdt_word(tree, node, "minivisor,colour", 0, &platform.colour);
}

static void read_memory(const struct fdt *tree, const struct fdt_node *node)
{
    if (platform.ram_size || !fdt_reg(tree, node, 0, &platform.ram_base, &platform.ram_size))
        return;
    if (platform.ram_size > RAM_LIMIT)
        platform.ram_size = RAM_LIMIT;
}

/* Accepted when it is r5g6b5 and the region it names holds as many lines as it claims. */
static void read_framebuffer(const struct fdt *tree, const struct fdt_node *node)
{
    u64 base, size;
    u32 width, height, stride;
    char format[8];
    if (!fdt_reg(tree, node, 0, &base, &size) || !fdt_word(tree, node, "width", 0, &width) ||
        !fdt_word(tree, node, "height", 0, &height) || !fdt_word(tree, node, "stride", 0, &stride) ||
        !fdt_string(tree, node, "format", format, sizeof(format)) || !text_equal(format, "r5g6b5"))
        return;
    if (!width || !height || width > stride / 2 || stride % 4 || base % PAGE_SIZE || (u64)stride * height > size)
        return;
    platform.framebuffer = base;
    platform.width = width;
    platform.height = height;
    platform.stride = stride;
}

static void read_device(const struct fdt *tree, const struct fdt_node *node)
{
    u64 size;
    if (fdt_compatible(tree, node, "arm,pl011")) {
        if (!platform.uart && read_interrupt(tree, node, 0, &platform.uart_intid))
            fdt_reg(tree, node, 0, &platform.uart, &size);
    } else if (fdt_compatible(tree, node, "arm,cortex-a15-gic") || fdt_compatible(tree, node, "arm,gic-400")) {
        fdt_reg(tree, node, 0, &platform.gic_distributor, &size);
        fdt_reg(tree, node, 1, &platform.gic_cpu_interface, &size);
    } else if (fdt_compatible(tree, node, "arm,armv8-timer")) {
        read_interrupt(tree, node, 2, &platform.timer_intid); /* secure, physical, virtual, hypervisor */
    } else if (fdt_compatible(tree, node, "simple-framebuffer")) {
        read_framebuffer(tree, node);
    }
}

/* The framebuffer is mapped apart from the rest of RAM, so it must lie in it, above this kernel. */
static void check_platform(void)
{
    u64 size = (u64)platform.stride * platform.height;
    if (!platform.ram_size || platform.ram_base % 0x200000)
        boot_fail("no usable /memory in the device tree");
    if (!platform.gic_cpu_interface || !platform.timer_intid || !platform.uart)
        boot_fail("the device tree lacks a GICv2, an Armv8 timer or a PL011");
    if (platform.framebuffer < (u64)__image_end || platform.framebuffer - platform.ram_base > platform.ram_size ||
        platform.ram_size - (platform.framebuffer - platform.ram_base) < size)
        platform.framebuffer = platform.width = platform.height = 0;
}

void boot_read_platform(const void *blob)
{
    struct fdt tree;
    struct fdt_node node = {0};
    if (!fdt_open(&tree, blob))
        boot_fail("no device tree");
    while (fdt_next_node(&tree, &node)) {
        char type[8];
        if (node.depth == 2 && text_equal(node.name, "chosen"))
            read_chosen(&tree, &node);
        else if (fdt_string(&tree, &node, "device_type", type, sizeof(type)) && text_equal(type, "memory"))
            read_memory(&tree, &node);
        else
            read_device(&tree, &node);
    }
    check_platform();
}
