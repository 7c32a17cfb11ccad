/*
 * The persona's address spaces, built at physical addresses before the MMU is on.
 *
 *     TTBR1  KERNEL_OFFSET + p   all of RAM and the devices, EL1 only, global
 *     TTBR0  APP_BASE…           the app's image, EL0, ASID 1, not global
 *
 * The kernel's own view of the app's pages is read-only where they are code, so W^X holds for a page in all its
 * mappings. A third root maps the kernel's text to itself for the few instructions between turning the MMU on and the
 * jump to virtual addresses.
 */

#include "kernel.h"
#include "mmu.h"
#include "pl011.h"
#include "print.h"
#include "smccc.h"

#define APP_ASID 1ul

extern char __image_start[], __text_end[], __rodata_end[], __app_text[], __app_rodata[],
    __app_data[], __app_end[], __guard[], __stack_bottom[];

static u64 app_root; /* physical */

void boot_fail(const char *why)
{
    pl011_enable();
    print("persona: ");
    print(why);
    print("\n");
    psci_system_off();
}

static void map_or_fail(u64 *root, u64 va, u64 pa, u64 size, u64 attributes)
{
    if (!mmu_map(root, va, pa, size, attributes))
        boot_fail("out of page tables");
}

static void map_kernel(u64 *root, const void *start, const void *end, u64 attributes)
{
    map_or_fail(root, virtual((u64)start), (u64)start, (u64)end - (u64)start, attributes);
}

/* The app's image is one piece in memory and one piece at APP_BASE. */
static void map_app(u64 *root, const char *start, const char *end, u64 attributes)
{
    map_or_fail(root, APP_BASE + (u64)(start - __app_text), (u64)start, (u64)(end - start), attributes);
}

static void map_device(u64 *root, u64 base, u64 size)
{
    u64 page = base & ~(PAGE_SIZE - 1);
    map_or_fail(root, virtual(page), page, size, MAP_DEVICE);
}

/* RAM from `start` to its end, with the framebuffer, which no cache may hold back from the panel, apart. */
static void map_rest_of_ram(u64 *root, const void *start)
{
    const char *end = (const char *)(platform.ram_base + (platform.ram_size & ~(PAGE_SIZE - 1)));
    if (platform.framebuffer) {
        const char *pixels = (const char *)platform.framebuffer;
        u64 size = ((u64)platform.stride * platform.height + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
        map_kernel(root, start, pixels, MAP_DATA);
        map_kernel(root, pixels, pixels + size, MAP_FRAMEBUFFER);
        start = pixels + size;
    }
    map_kernel(root, start, end, MAP_DATA);
}

static u64 build_kernel_tables(void)
{
    u64 *root = mmu_new_table();
    map_kernel(root, (const void *)platform.ram_base, __image_start, MAP_DATA);
    map_kernel(root, __image_start, __text_end, MAP_TEXT);
    map_kernel(root, __text_end, __rodata_end, MAP_RODATA);
    map_kernel(root, __app_text, __app_data, MAP_RODATA);
    map_kernel(root, __app_data, __guard, MAP_DATA);
    map_rest_of_ram(root, __stack_bottom);
    map_device(root, platform.uart, PAGE_SIZE);
    map_device(root, platform.gic_distributor, PAGE_SIZE);
    map_device(root, platform.gic_cpu_interface, 2 * PAGE_SIZE); /* GICC_DIR is in the second page */
    return (u64)root;
}

static u64 build_app_tables(void)
{
    u64 *root = mmu_new_table();
    map_app(root, __app_text, __app_rodata, MAP_USER_TEXT);
    map_app(root, __app_rodata, __app_data, MAP_USER_RODATA);
    map_app(root, __app_data, __app_end, MAP_USER_DATA);
    return (u64)root;
}

struct roots boot_build_tables(void)
{
    u64 *identity = mmu_new_table();
    map_or_fail(identity, (u64)__image_start, (u64)__image_start, (u64)(__text_end - __image_start), MAP_TEXT);
    app_root = build_app_tables();
    return (struct roots){(u64)identity, build_kernel_tables()};
}

/* The identity mapping is global, so it must leave the TLB before TTBR0's range belongs to the app. */
void switch_to_app_tables(void)
{
    write_sysreg(ttbr0_el1, app_root | APP_ASID << 48);
    isb();
    __asm__ volatile("tlbi vmalle1\n\tdsb nsh\n\tisb" ::: "memory");
}
