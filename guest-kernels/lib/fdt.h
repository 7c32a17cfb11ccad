/*
 * Reader of a flattened device tree (Devicetree Specification v0.4, chapter 5), for kernels that must not trust it.
 *
 * The tree is walked in document order, one node at a time, and a node's properties are looked up by name. Every offset
 * is checked against the sizes the header claims, and those against FDT_LIMIT, before anything is read; words are put
 * together from bytes, so the reader works at any alignment and before the MMU is on.
 *
 *     struct fdt_node node = {0};
 *     while (fdt_next_node(&tree, &node))
 *         if (fdt_compatible(&tree, &node, "arm,pl011"))
 *             fdt_reg(&tree, &node, 0, &base, &size);
 */
#pragma once

#include "arch.h"

#define FDT_LIMIT 0x200000u /* a tree is at most 2 MiB (the arm64 boot protocol's bound as well) */
#define FDT_DEPTH 8

typedef _Bool bool;
#define true 1
#define false 0

struct fdt {
    const u8 *blob;
    u32 structure, structure_end; /* offsets of the structure block */
    u32 strings, strings_end;     /* offsets of the strings block */
};

/* A position in the walk. Zero-initialised, it stands before the root node. */
struct fdt_node {
    u32 properties;               /* offset of the first token inside the node */
    u32 depth;                    /* 1 for the root, 2 for its children, … */
    const char *name;             /* with the unit address, NUL-terminated inside the blob */
    u8 cells[FDT_DEPTH + 1][2];   /* #address-cells, #size-cells that each depth gives to its children */
};

struct fdt_property {
    const u8 *data;
    u32 length;
};

bool fdt_open(struct fdt *tree, const void *blob);
bool fdt_next_node(const struct fdt *tree, struct fdt_node *node);
bool fdt_property(const struct fdt *tree, const struct fdt_node *node, const char *name, struct fdt_property *found);

/* Each answers false, and leaves its results alone, when the property is missing or too short. */
bool fdt_compatible(const struct fdt *tree, const struct fdt_node *node, const char *model);
bool fdt_reg(const struct fdt *tree, const struct fdt_node *node, u32 index, u64 *address, u64 *size);
bool fdt_word(const struct fdt *tree, const struct fdt_node *node, const char *name, u32 index, u32 *value);
bool fdt_string(const struct fdt *tree, const struct fdt_node *node, const char *name, char *text, u32 size);
bool text_equal(const char *left, const char *right);
