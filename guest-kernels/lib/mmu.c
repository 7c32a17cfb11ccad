/* A table is a page of the pool; a mapping walks down from the root, making the tables it misses on the way. */

#include "mmu.h"

#define POOL_TABLES 40

static u64 pool[POOL_TABLES][512] __attribute__((aligned(4096)));
static u32 pool_used;

u64 *mmu_new_table(void)
{
    return pool_used < POOL_TABLES ? pool[pool_used++] : 0;
}

/* The descriptor for `va` in `table`, whose index is at bit `shift`. */
static u64 *descriptor(u64 *table, u64 va, u32 shift)
{
    return &table[va >> shift & 511];
}

/* The table that `entry` points to, made on first use. */
static u64 *next_table(u64 *entry)
{
    if (!(*entry & PTE_VALID)) {
        u64 *table = mmu_new_table();
        if (!table)
            return 0;
        *entry = (u64)table | PTE_TABLE | PTE_VALID;
    }
    return (u64 *)(*entry & PTE_ADDRESS);
}

int mmu_map(u64 *root, u64 va, u64 pa, u64 size, u64 attributes)
{
    for (u64 end = va + size; va != end;) {
        u64 *table = next_table(descriptor(root, va, 30));
        if (!table)
            return 0;
        u64 *entry = descriptor(table, va, 21);
        u64 step = BLOCK_SIZE;
        if ((va | pa) % BLOCK_SIZE == 0 && end - va >= BLOCK_SIZE) {
            *entry = pa | attributes | PTE_VALID;
        } else {
            table = next_table(entry);
            if (!table)
                return 0;
            *descriptor(table, va, 12) = pa | attributes | PTE_TABLE | PTE_VALID;
            step = PAGE_SIZE;
        }
        va += step;
        pa += step;
    }
    return 1;
}
