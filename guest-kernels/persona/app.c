/*
 * The home screen: an EL0 program that draws once and then only what changed.
 *
 *      0  +--------------------+
 *         | name          (##) |   header, in a darker shade of the persona's colour
 *     32  +--------------------+
 *         |       00:07        |   minutes and seconds since boot, from the counter
 *         |     ticks 000732   |   every tenth tick
 *    104  | [] [] [] []        |   icons
 *         | [] [] [] []        |
 *    190  | > last keys        |
 *    228  |       ----         |
 *    240  +--------------------+
 *
 * It sleeps in wait_for_event between ticks. 'S' makes it compute instead of sleeping, 'F' makes it carry floating-point
 * state across its waits (app_fp.c); both are switches.
 */

#include "app.h"

#define MARGIN 8
#define HEADER 32
#define CLOCK_Y 46
#define CLOCK_SCALE 4
#define COUNTER_Y 84
#define COUNTER_STEP 10 /* ticks */
#define TILES_Y 106
#define TILE 30
#define TILE_STEP 38
#define KEYS_Y 190
#define KEYS_HEIGHT 24
#define SPIN 20000ul

#define KEYS_SHOWN 15
#define DIGIT_ADVANCE 7 /* of the font, digits are 6 wide */
#define COLON_ADVANCE 3

static struct description self;
static struct {
    pixel base, ink, header, header_ink, faint, tile, tile_ink, field, field_ink;
} theme;
static char keys[KEYS_SHOWN];
static int key_count;
static char clock_shown[5], counter_shown[6];
static int spinning, floating;

static void choose_theme(void)
{
    unsigned base = self.colour, dark = mix(base, 0x000000, 8);
    unsigned ink = is_light(base) ? 0x101418 : 0xffffff;
    theme.base = to_pixel(base);
    theme.ink = to_pixel(ink);
    theme.header = to_pixel(dark);
    theme.header_ink = to_pixel(0xffffff);
    theme.faint = to_pixel(mix(base, ink, 10));
    theme.tile = to_pixel(mix(base, 0xffffff, 13));
    theme.tile_ink = to_pixel(mix(base, 0x000000, 9));
    theme.field = to_pixel(mix(base, 0x000000, 5));
    theme.field_ink = to_pixel(0xffffff);
}

static void draw_header(void)
{
    int right = (int)self.width - MARGIN, length = text_length(self.name);
    fill_rect(0, 0, (int)self.width, HEADER, theme.header);
    int after = draw_text(MARGIN, 9, self.name, length, theme.header_ink, theme.header, 2);
    if (after > right - 20) { /* a long name: small letters, and no more of them than fit */
        fill_rect(0, 0, (int)self.width, HEADER, theme.header);
        while (length > 0 && draw_text(MARGIN, 13, self.name, length, theme.header_ink, theme.header, 1) > right - 20) {
            fill_rect(0, 0, (int)self.width, HEADER, theme.header);
            length--;
        }
    }
    fill_rect(right - 18, 11, 16, 10, theme.header_ink); /* a battery, nearly full */
    fill_rect(right - 17, 12, 14, 8, theme.header);
    fill_rect(right - 16, 13, 10, 6, theme.header_ink);
    fill_rect(right - 2, 14, 2, 4, theme.header_ink);
}

static void draw_tiles(void)
{
    int left = ((int)self.width - 3 * TILE_STEP - TILE) / 2;
    for (int i = 0; i < 8; i++) {
        int x = left + i % 4 * TILE_STEP, y = TILES_Y + i / 4 * TILE_STEP;
        fill_rounded(x, y, TILE, TILE, theme.tile);
        draw_icon(x + 7, y + 7, i, theme.tile_ink);
    }
}

/* Draws the characters of `now` that differ from `shown`, all as wide as a digit but a colon. */
static void update_text(int x, int y, const char *now, char *shown, int count, pixel ink, int scale)
{
    for (int i = 0; i < count; i++) {
        if (now[i] != shown[i])
            draw_text(x, y, &now[i], 1, ink, theme.base, scale);
        shown[i] = now[i];
        x += (now[i] == ':' ? COLON_ADVANCE : DIGIT_ADVANCE) * scale;
    }
}

static void update_clock(void)
{
    unsigned seconds = (unsigned)(get_time() / 1000000000ul);
    char now[5];
    to_digits(seconds / 60, now, 2);
    now[2] = ':';
    to_digits(seconds % 60, now + 3, 2);
    int width = (4 * DIGIT_ADVANCE + COLON_ADVANCE - 1) * CLOCK_SCALE;
    update_text(((int)self.width - width) / 2, CLOCK_Y, now, clock_shown, 5, theme.ink, CLOCK_SCALE);
}

static void update_counter(void)
{
    char now[6];
    to_digits(self.ticks, now, 6);
    update_text((int)self.width / 2, COUNTER_Y, now, counter_shown, 6, theme.faint, 1);
}

static void update_keys(void)
{
    int left = MARGIN, width = (int)self.width - 2 * MARGIN, y = KEYS_Y + KEYS_HEIGHT / 2 - 4;
    fill_rect(left + 6, y, width - 12, 8, theme.field);
    int x = draw_text(left + 6, y, "> ", 2, theme.faint, theme.field, 1);
    x = draw_text(x, y, keys, key_count, theme.field_ink, theme.field, 1);
    fill_rect(x, y, 4, 7, theme.faint); /* the cursor */
}

static void draw_home(void)
{
    choose_theme();
    fill_rect(0, 0, (int)self.width, (int)self.height, theme.base);
    draw_header();
    draw_text((int)self.width / 2 - 36, COUNTER_Y, "ticks", 5, theme.faint, theme.base, 1);
    draw_tiles();
    fill_rounded(MARGIN, KEYS_Y, (int)self.width - 2 * MARGIN, KEYS_HEIGHT, theme.field);
    fill_rect((int)self.width / 2 - 24, 228, 48, 3, theme.faint);
    update_keys();
    update_clock();
    update_counter();
}

static void take_key(char key)
{
    if (key == 'S')
        spinning = !spinning;
    if (key == 'F' && (floating = !floating))
        fp_start(self.colour);
    if (key_count == KEYS_SHOWN) {
        key_count--;
        for (int i = 0; i < key_count; i++)
            keys[i] = keys[i + 1];
    }
    keys[key_count++] = key;
}

static void take_keys(void)
{
    for (int key; (key = read_key()) >= 0;)
        take_key((char)key);
    update_keys();
}

static void take_tick(void)
{
    unsigned before = self.ticks;
    describe(&self);
    if (self.ticks / COUNTER_STEP != before / COUNTER_STEP) {
        update_counter();
        update_clock();
    }
    if (floating && self.ticks / TICK_HZ != before / TICK_HZ)
        fp_report(self.name);
}

static long wait(void)
{
    unsigned long spin = spinning ? SPIN : 0;
    if (floating)
        return fp_wait(!spinning, spin);
    for (; spin; spin--)
        __asm__ volatile(""); /* work that the compiler may not remove */
    return wait_for_event(!spinning);
}

void app_main(void)
{
    describe(&self);
    draw_home();
    for (;;) {
        long events = wait();
        if (events & EVENT_KEY)
            take_keys();
        if (events & EVENT_TICK)
            take_tick();
    }
}
