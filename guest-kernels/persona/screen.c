/*
 * Drawing: rectangles and text into the framebuffer, 16 bits a pixel, red in bits 15:11, green in 10:5, blue in 4:0.
 *
 * Coordinates come from the app, so each is clipped before it is used; what lies outside the screen is not drawn. Pixels
 * are stored in pairs where they are aligned: that halves the cost of the background.
 */

#include "kernel.h"
#include "pictures.h"

static u16 *line(u64 y)
{
    return (u16 *)(virtual(platform.framebuffer) + y * platform.stride);
}

static void fill_span(u16 *at, u64 count, u16 colour)
{
    u32 pair = (u32)colour << 16 | colour;
    if (count && (u64)at & 2) {
        *at++ = colour;
        count--;
    }
    for (; count >= 2; count -= 2, at += 2)
        *(volatile u32 *)at = pair;
    if (count)
        *at = colour;
}

/* How much of [start, start + length) is below `limit`. */
static u64 clip(u64 start, u64 length, u64 limit)
{
    if (start >= limit)
        return 0;
    return length < limit - start ? length : limit - start;
}

void fill_rect(u64 x, u64 y, u64 width, u64 height, u16 colour)
{
    width = clip(x, width, platform.width);
    height = clip(y, height, platform.height);
    if (!width)
        return;
    for (u64 row = 0; row < height; row++)
        fill_span(line(y + row) + x, width, colour);
}

/* One row of a glyph, `scale` pixels to a bit; its most significant bit is the leftmost pixel. */
static void draw_glyph_row(u64 x, u64 y, u16 bits, u64 columns, u16 ink, u16 paper, u64 scale)
{
    for (u64 column = 0; column < columns; column++, bits <<= 1)
        fill_rect(x + column * scale, y, scale, scale, bits & 0x8000 ? ink : paper);
}

u64 draw_character(u64 x, u64 y, u8 character, u16 ink, u16 paper, u64 scale)
{
    if (character < FONT_FIRST || character > FONT_LAST)
        character = '?';
    const struct picture *glyph = &font[character - FONT_FIRST];
    u64 columns = glyph->width + 1ul; /* one empty column parts it from the next */
    for (u64 row = 0; row < FONT_ROWS; row++)
        draw_glyph_row(x, y + row * scale, glyph->rows[row], columns, ink, paper, scale);
    return columns * scale;
}
