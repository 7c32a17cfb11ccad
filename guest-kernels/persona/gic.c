/* GICv2 (IHI 0048B): the distributor decides which interrupts there are, the CPU interface hands them over one by one. */

#include "kernel.h"

#define GICD_CTLR 0x000
#define GICD_ISENABLER 0x100 /* one bit an interrupt, write 1 to set */
#define GICD_IPRIORITYR 0x400 /* one byte an interrupt, lower is more urgent */
#define GICD_ITARGETSR 0x800 /* one byte an interrupt, a bit for each CPU; read-only below 32 */

#define GICC_CTLR 0x000
#define GICC_PMR 0x004 /* only priorities below this value get through */
#define GICC_IAR 0x00c
#define GICC_EOIR 0x010

#define PRIORITY 0xa0

static u64 distributor(u64 offset)
{
    return virtual(platform.gic_distributor) + offset;
}

static u64 cpu_interface(u64 offset)
{
    return virtual(platform.gic_cpu_interface) + offset;
}

void gic_enable(void)
{
    mmio_write32(distributor(GICD_CTLR), 1);
    mmio_write32(cpu_interface(GICC_PMR), 0xf0);
    mmio_write32(cpu_interface(GICC_CTLR), 1);
}

void gic_enable_interrupt(u32 intid)
{
    mmio_write8(distributor(GICD_IPRIORITYR + intid), PRIORITY);
    if (intid >= 32)
        mmio_write8(distributor(GICD_ITARGETSR + intid), 1);
    mmio_write32(distributor(GICD_ISENABLER + 4 * (intid / 32)), 1u << intid % 32);
}

void gic_disable(void)
{
    mmio_write32(cpu_interface(GICC_PMR), 0);
    mmio_write32(cpu_interface(GICC_CTLR), 0);
    mmio_write32(distributor(GICD_CTLR), 0);
}

u32 gic_acknowledge(void)
{
    return mmio_read32(cpu_interface(GICC_IAR));
}

void gic_complete(u32 acknowledged)
{
    mmio_write32(cpu_interface(GICC_EOIR), acknowledged);
}
