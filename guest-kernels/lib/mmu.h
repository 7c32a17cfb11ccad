/*
 * Stage-1 tables for EL1 and EL0: 4 KiB granule, 39-bit addresses, three levels (DDI 0487, D8.2 and D8.3).
 *
 *      38      30 29      21 20      12 11         0
 *     +----------+----------+----------+------------+
 *     | level 1  | level 2  | level 3  |   offset   |     9 bits an index, 512 descriptors a table
 *     +----------+----------+----------+------------+
 *       1 GiB      2 MiB      4 KiB
 *
 * A descriptor, blocks at level 2 and pages at level 3 alike:
 *
 *      54  53         47          12  11 10  9 8  7 6    4..2   1 0
 *     +---+---+------+--------------+--+--+-----+----+--------+----+
 *     |UXN|PXN|      |output address|nG|AF| SH  | AP |AttrIndx|type|
 *     +---+---+------+--------------+--+--+-----+----+--------+----+
 *
 * Tables are built while the MMU is off, so a pointer to a table is its physical address.
 */
#pragma once

#include "arch.h"

#define BLOCK_SIZE 0x200000ul

/* MAIR_EL1 attributes, by AttrIndx. */
#define MAIR_DEVICE 0ul    /* Device-nGnRE */
#define MAIR_NORMAL 1ul    /* Normal, Write-Back */
#define MAIR_UNCACHED 2ul  /* Normal, Non-cacheable */
#define MAIR_VALUE (0x04ul << (8 * MAIR_DEVICE) | 0xfful << (8 * MAIR_NORMAL) | 0x44ul << (8 * MAIR_UNCACHED))

#define PTE_VALID (1ul << 0)
#define PTE_TABLE (1ul << 1) /* a table at levels 1 and 2, a page at level 3; clear, a block */
#define PTE_ATTRIBUTE(index) ((index) << 2)
#define PTE_AP_EL0 (1ul << 6)
#define PTE_AP_READ_ONLY (1ul << 7)
#define PTE_SH_INNER (3ul << 8)
#define PTE_AF (1ul << 10)
#define PTE_NG (1ul << 11)
#define PTE_PXN (1ul << 53)
#define PTE_UXN (1ul << 54)
#define PTE_ADDRESS 0x0000fffffffff000ul

/* What memory is for. None is both writable and executable, at either level of privilege. */
#define MAP_MEMORY (PTE_AF | PTE_SH_INNER | PTE_ATTRIBUTE(MAIR_NORMAL))
#define MAP_TEXT (MAP_MEMORY | PTE_AP_READ_ONLY | PTE_UXN)
#define MAP_RODATA (MAP_MEMORY | PTE_AP_READ_ONLY | PTE_UXN | PTE_PXN)
#define MAP_DATA (MAP_MEMORY | PTE_UXN | PTE_PXN)
#define MAP_DEVICE (PTE_AF | PTE_ATTRIBUTE(MAIR_DEVICE) | PTE_UXN | PTE_PXN)
#define MAP_FRAMEBUFFER (PTE_AF | PTE_ATTRIBUTE(MAIR_UNCACHED) | PTE_UXN | PTE_PXN)
#define MAP_USER_TEXT (MAP_MEMORY | PTE_NG | PTE_AP_EL0 | PTE_AP_READ_ONLY | PTE_PXN)
#define MAP_USER_RODATA (MAP_USER_TEXT | PTE_UXN)
#define MAP_USER_DATA (MAP_MEMORY | PTE_NG | PTE_AP_EL0 | PTE_UXN | PTE_PXN)

/* A zeroed table, or 0 when the pool is used up. */
u64 *mmu_new_table(void);

/* Map [va, va + size) to pa, in blocks where both are aligned. Whole pages only; 0 when there was no table left. */
int mmu_map(u64 *root, u64 va, u64 pa, u64 size, u64 attributes);

/* Turn the MMU and the caches on. The caller runs at an address that `ttbr0` maps to itself. */
void mmu_enable(u64 ttbr0, u64 ttbr1);
void mmu_disable(void);
