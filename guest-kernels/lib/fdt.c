/* The structure block is a stream of 32-bit big-endian tokens; everything here is a careful step along that stream. */

#include "fdt.h"

#define FDT_MAGIC 0xd00dfeedu
#define FDT_BEGIN_NODE 1u
#define FDT_END_NODE 2u
#define FDT_PROP 3u
#define FDT_NOP 4u

/* Header words, as indices (Devicetree Specification v0.4, 5.2). */
enum { MAGIC, TOTALSIZE, OFF_DT_STRUCT, OFF_DT_STRINGS, OFF_MEM_RSVMAP, VERSION, LAST_COMP_VERSION, BOOT_CPUID,
       SIZE_DT_STRINGS, SIZE_DT_STRUCT, HEADER_WORDS };

struct token {
    u32 kind;
    u32 next;        /* offset of the token after this one */
    const char *name; /* of a node or a property */
    struct fdt_property value;
};

static u32 big_endian(const u8 *at)
{
    return (u32)at[0] << 24 | (u32)at[1] << 16 | (u32)at[2] << 8 | at[3];
}

static u32 align4(u32 offset)
{
    return (offset + 3) & ~3u;
}

bool text_equal(const char *left, const char *right)
{
    while (*left && *left == *right)
        left++, right++;
    return *left == *right;
}

/* Offset just after the NUL of the text that starts at `from`, or 0 when there is none before `end`. */
static u32 text_end(const struct fdt *tree, u32 from, u32 end)
{
    for (u32 at = from; at < end; at++)
        if (!tree->blob[at])
            return at + 1;
    return 0;
}

bool fdt_open(struct fdt *tree, const void *blob)
{
    const u8 *bytes = blob;
    u32 header[HEADER_WORDS];
    for (u32 i = 0; i < HEADER_WORDS; i++) {
        header[i] = big_endian(bytes + 4 * i);
        if (i == MAGIC && header[MAGIC] != FDT_MAGIC)
            return false;
    }
    u32 total = header[TOTALSIZE];
    if (total > FDT_LIMIT || header[OFF_DT_STRUCT] > total || header[SIZE_DT_STRUCT] > total - header[OFF_DT_STRUCT] ||
        header[OFF_DT_STRINGS] > total || header[SIZE_DT_STRINGS] > total - header[OFF_DT_STRINGS] ||
        header[OFF_DT_STRUCT] % 4)
        return false;
    tree->blob = bytes;
    tree->structure = header[OFF_DT_STRUCT];
    tree->structure_end = header[OFF_DT_STRUCT] + header[SIZE_DT_STRUCT];
    tree->strings = header[OFF_DT_STRINGS];
    tree->strings_end = header[OFF_DT_STRINGS] + header[SIZE_DT_STRINGS];
    return true;
}

static bool read_property(const struct fdt *tree, u32 at, struct token *token)
{
    if (tree->structure_end - at < 8)
        return false;
    u32 length = big_endian(tree->blob + at), name = big_endian(tree->blob + at + 4);
    u32 data = at + 8;
    if (length > tree->structure_end - data || name >= tree->strings_end - tree->strings)
        return false;
    if (!text_end(tree, tree->strings + name, tree->strings_end))
        return false;
    token->name = (const char *)tree->blob + tree->strings + name;
    token->value = (struct fdt_property){tree->blob + data, length};
    token->next = align4(data + length);
    return true;
}

/* Reads the token at `at`; false at the end of the block, and at anything that does not fit in it. */
static bool read_token(const struct fdt *tree, u32 at, struct token *token)
{
    if (at >= tree->structure_end || tree->structure_end - at < 4)
        return false;
    token->kind = big_endian(tree->blob + at);
    token->next = at + 4;
    if (token->kind == FDT_PROP)
        return read_property(tree, at + 4, token);
    if (token->kind == FDT_BEGIN_NODE) {
        u32 end = text_end(tree, at + 4, tree->structure_end);
        token->name = (const char *)tree->blob + at + 4;
        token->next = align4(end);
        return end != 0;
    }
    return token->kind == FDT_END_NODE || token->kind == FDT_NOP;
}

/* The cells that `node` gives its children; 2 and 1 when it does not say (Devicetree Specification v0.4, 2.3.5). */
static void read_cells(const struct fdt *tree, struct fdt_node *node)
{
    u32 address = 2, size = 1;
    fdt_word(tree, node, "#address-cells", 0, &address);
    fdt_word(tree, node, "#size-cells", 0, &size);
    node->cells[node->depth][0] = (u8)(address <= 2 ? address : 2);
    node->cells[node->depth][1] = (u8)(size <= 2 ? size : 2);
}

bool fdt_next_node(const struct fdt *tree, struct fdt_node *node)
{
    struct token token;
    u32 at = node->properties ? node->properties : tree->structure;
    for (; read_token(tree, at, &token); at = token.next) {
        if (token.kind == FDT_END_NODE && node->depth-- == 0)
            return false;
        if (token.kind != FDT_BEGIN_NODE)
            continue;
        if (++node->depth > FDT_DEPTH)
            return false;
        node->name = token.name;
        node->properties = token.next;
        read_cells(tree, node);
        return true;
    }
    return false;
}

bool fdt_property(const struct fdt *tree, const struct fdt_node *node, const char *name, struct fdt_property *found)
{
    struct token token;
    for (u32 at = node->properties; read_token(tree, at, &token); at = token.next) {
        if (token.kind == FDT_PROP && text_equal(token.name, name)) {
            *found = token.value;
            return true;
        }
        if (token.kind == FDT_BEGIN_NODE || token.kind == FDT_END_NODE)
            return false; /* properties come before subnodes */
    }
    return false;
}

bool fdt_compatible(const struct fdt *tree, const struct fdt_node *node, const char *model)
{
    struct fdt_property list;
    if (!fdt_property(tree, node, "compatible", &list) || !list.length || list.data[list.length - 1])
        return false;
    for (u32 at = 0; at < list.length; at++)
        if ((at == 0 || !list.data[at - 1]) && text_equal((const char *)list.data + at, model))
            return true;
    return false;
}

static u64 read_cell_pair(const u8 *at, u32 cells)
{
    u64 value = 0;
    for (u32 i = 0; i < cells; i++)
        value = value << 32 | big_endian(at + 4 * i);
    return value;
}

bool fdt_reg(const struct fdt *tree, const struct fdt_node *node, u32 index, u64 *address, u64 *size)
{
    struct fdt_property reg;
    const u8 *cells = node->cells[node->depth - 1];
    u32 width = 4u * (cells[0] + cells[1]);
    if (!fdt_property(tree, node, "reg", &reg) || reg.length / 4 < width / 4 * (index + 1))
        return false;
    *address = read_cell_pair(reg.data + index * width, cells[0]);
    *size = read_cell_pair(reg.data + index * width + 4 * cells[0], cells[1]);
    return true;
}

bool fdt_word(const struct fdt *tree, const struct fdt_node *node, const char *name, u32 index, u32 *value)
{
    struct fdt_property property;
    if (!fdt_property(tree, node, name, &property) || property.length / 4 <= index)
        return false;
    *value = big_endian(property.data + 4 * index);
    return true;
}

bool fdt_string(const struct fdt *tree, const struct fdt_node *node, const char *name, char *text, u32 size)
{
    struct fdt_property property;
    if (!fdt_property(tree, node, name, &property) || !property.length)
        return false;
    u32 i = 0;
    for (; i < property.length && i + 1 < size && property.data[i]; i++)
        text[i] = (char)property.data[i];
    text[i] = 0;
    return true;
}
