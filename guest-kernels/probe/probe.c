/*
 * probe: a guest that tries to reach what is not its own, in every way a guest has.
 *
 * Loads, stores and branches go to physical addresses with the MMU off. Two ways are less obvious: a guest's own stage-1
 * walk reads memory too, so a descriptor that names another's page makes the walker fetch from there (DDI 0487, D8.2,
 * and ISS.S1PTW in the abort), and AT does such a walk and hands back what it found in PAR_EL1. Nothing is judged here:
 * the mailbox (probe.h) gets the syndromes, and the machine that lent it the memory compares them with what should be.
 */

#include "probe.h"

#include "mmu.h"
#include "smccc.h"

#define WALK_INDEX 256ul /* the level-1 entry that points wherever a probe wants */

extern char __text_start[], __text_end[], __image_end[], vectors[];

static u64 *root;

static void build_tables(void)
{
    u64 text = (u64)__text_start, data = (u64)__text_end, end = (u64)__image_end;
    root = mmu_new_table();
    mmu_map(root, text, text, data - text, MAP_TEXT);
    mmu_map(root, data, data, ((end + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1)) - data, MAP_DATA);
}

/* Make `address` the level-2 descriptor of a virtual address, and do something that needs its translation. */
static struct outcome walk_through(u64 address, struct outcome (*access)(u64))
{
    u64 va = WALK_INDEX << 30 | (address >> 3 & 511) << 21;
    root[WALK_INDEX] = (address & PTE_ADDRESS) | PTE_TABLE | PTE_VALID;
    dsb_ish();
    mmu_enable((u64)root, (u64)root);
    struct outcome outcome = access(va);
    mmu_disable();
    return outcome;
}

static struct outcome probe(const struct entry *entry)
{
    switch (entry->kind) {
    case KIND_READ:
        return probe_read(entry->address);
    case KIND_WRITE:
        return probe_write(entry->address);
    case KIND_FETCH:
        return probe_fetch(entry->address);
    case KIND_WALK:
        return walk_through(entry->address, probe_read);
    case KIND_TRANSLATE:
        return walk_through(entry->address, probe_translate);
    default:
        return (struct outcome){0, 0};
    }
}

void main(void)
{
    struct mailbox *mailbox = (struct mailbox *)MAILBOX;
    u64 limit = (MAILBOX_SIZE - sizeof(*mailbox)) / sizeof(struct entry);
    write_sysreg(vbar_el1, vectors);
    isb();
    build_tables();
    for (u64 i = 0; i < mailbox->count && i < limit; i++) {
        struct outcome outcome = probe(&mailbox->entries[i]);
        mailbox->entries[i].esr = outcome.esr;
        mailbox->entries[i].detail = outcome.detail;
        mailbox->done = i + 1;
    }
    psci_system_off();
}
