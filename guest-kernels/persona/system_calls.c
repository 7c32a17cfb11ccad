/*
 * System calls. The app is not trusted: a pointer is checked against the app's own range, and its bytes are then moved by
 * LDTRB and STTRB, which EL1 executes with EL0's permissions (DDI 0487, C6.2.220 "LDTRB"), one more lock on the same door.
 */

#include "kernel.h"
#include "print.h"

#define LINE 64u /* longest text moved at once */
#define SCALE_LIMIT 16ul

extern char __app_text[], __app_end[];

static bool is_app_range(u64 address, u64 length)
{
    u64 size = (u64)(__app_end - __app_text);
    return address >= APP_BASE && address - APP_BASE <= size && length <= size - (address - APP_BASE);
}

static u8 load_as_el0(u64 address)
{
    u32 value;
    __asm__ volatile("ldtrb %w0, [%1]" : "=r"(value) : "r"(address) : "memory");
    return (u8)value;
}

static void store_as_el0(u64 address, u8 value)
{
    __asm__ volatile("sttrb %w0, [%1]" ::"r"(value), "r"(address) : "memory");
}

static u64 sys_write(u64 text, u64 length)
{
    if (!is_app_range(text, length))
        return (u64)BAD_ADDRESS;
    for (u64 i = 0; i < length; i++) {
        char character = (char)load_as_el0(text + i);
        print_bytes(&character, 1);
    }
    return length;
}

static u64 sys_draw_text(const u64 *x)
{
    u64 left = x[0], text = x[2], length = x[3], scale = x[5];
    if (!is_app_range(text, length) || length > LINE || scale - 1 >= SCALE_LIMIT)
        return (u64)BAD_ADDRESS;
    for (u64 i = 0; i < length; i++)
        left += draw_character(left, x[1], load_as_el0(text + i), (u16)x[4], (u16)(x[4] >> 16), scale);
    return left;
}

/* The record ends in padding-free fields, so every byte that leaves the kernel was written here. */
static u64 sys_describe(u64 address)
{
    struct description answer = {platform.width, platform.height, platform.colour, (u32)tick_count(), {0}};
    if (!is_app_range(address, sizeof(answer)))
        return (u64)BAD_ADDRESS;
    for (u32 i = 0; i < sizeof(answer.name) - 1 && platform.name[i]; i++)
        answer.name[i] = platform.name[i];
    for (u32 i = 0; i < sizeof(answer); i++)
        store_as_el0(address + i, ((const u8 *)&answer)[i]);
    return 0;
}

static u64 sys_exit(u64 status)
{
    print_name();
    print("app exits, status ");
    print_decimal(status);
    print("\n");
    for (;;)
        event_wait(true);
}

u64 system_call(struct frame *frame)
{
    const u64 *x = frame->x;
    switch (x[8]) {
    case SYS_EXIT:
        return sys_exit(x[0]);
    case SYS_WRITE:
        return sys_write(x[0], x[1]);
    case SYS_GET_TIME:
        return nanoseconds();
    case SYS_FILL_RECT:
        fill_rect(x[0], x[1], x[2], x[3], (u16)x[4]);
        return 0;
    case SYS_DRAW_TEXT:
        return sys_draw_text(x);
    case SYS_READ_KEY:
        return (u64)(long)console_key();
    case SYS_WAIT_FOR_EVENT:
        return event_wait(x[0] != 0);
    case SYS_DESCRIBE:
        return sys_describe(x[0]);
    default:
        return (u64)NO_SUCH_CALL;
    }
}
