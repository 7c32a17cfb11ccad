/* Shapes the kernel does not know: rounded rectangles and icons; and colour arithmetic. */

#include "app.h"
#include "pictures.h"

pixel to_pixel(unsigned colour)
{
    return (pixel)((colour >> 8 & 0xf800) | (colour >> 5 & 0x07e0) | (colour >> 3 & 0x001f));
}

unsigned mix(unsigned from, unsigned to, int sixteenths)
{
    unsigned mixed = 0;
    for (int shift = 0; shift < 24; shift += 8) {
        int a = from >> shift & 255, b = to >> shift & 255;
        mixed |= (unsigned)(a + (b - a) * sixteenths / 16) << shift;
    }
    return mixed;
}

/* Rough luminance: green counts most, blue least. */
int is_light(unsigned colour)
{
    return (3 * (colour >> 16 & 255) + 6 * (colour >> 8 & 255) + (colour & 255)) / 10 > 150;
}

/* A corner of radius 5: how many pixels each of its rows is short of the full width. */
static const unsigned char corner[] = {3, 2, 1, 0, 0};
#define CORNER ((int)sizeof(corner))

void fill_rounded(int x, int y, int width, int height, pixel colour)
{
    for (int row = 0; row < CORNER; row++) {
        fill_rect(x + corner[row], y + row, width - 2 * corner[row], 1, colour);
        fill_rect(x + corner[row], y + height - 1 - row, width - 2 * corner[row], 1, colour);
    }
    fill_rect(x, y + CORNER, width, height - 2 * CORNER, colour);
}

/* Each run of ink in a row is one rectangle. */
void draw_icon(int x, int y, int icon, pixel ink)
{
    const struct picture *picture = &app_icons[icon];
    for (int row = 0; row < picture->height; row++) {
        unsigned bits = picture->rows[row];
        for (int column = 0; column < picture->width; column++) {
            int run = 0;
            while (bits << (column + run) & 0x8000)
                run++;
            if (run)
                fill_rect(x + column, y + row, run, 1, ink);
            column += run;
        }
    }
}

int text_length(const char *text)
{
    int length = 0;
    while (text[length])
        length++;
    return length;
}

void to_digits(unsigned value, char *digits, int count)
{
    for (; count--; value /= 10)
        digits[count] = (char)('0' + value % 10);
}
