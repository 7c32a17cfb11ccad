/* Small one-colour pictures: font.txt and app_icons.txt, turned into tables by build.py. Bit 15 is the leftmost pixel. */
#pragma once

struct picture {
    unsigned char width, height;
    unsigned short rows[16];
};

#define FONT_FIRST 32
#define FONT_LAST 126
#define FONT_ROWS 8
#define ICONS 8

extern const struct picture font[FONT_LAST - FONT_FIRST + 1];
extern const struct picture app_icons[ICONS];
