/* The PL011 console driver. Register offsets and bits: DDI 0183, chapter 3 "Programmers Model". */

#include "pl011.h"

#define UARTDR 0x000   /* data */
#define UARTFR 0x018   /* flags */
#define UARTLCR_H 0x02c /* line control */
#define UARTCR 0x030   /* control */
#define UARTIMSC 0x038 /* interrupt mask: 1 lets an interrupt through */
#define UARTICR 0x044  /* interrupt clear */

#define FR_RXFE (1u << 4)
#define FR_TXFF (1u << 5)
#define LCR_H_WLEN_8 (3u << 5)
#define CR_UARTEN (1u << 0)
#define CR_TXE (1u << 8)
#define CR_RXE (1u << 9)
#define INT_RX (1u << 4)
#define INT_ALL 0x7ffu

u64 pl011_base = PL011_DEFAULT_BASE;

void pl011_enable(void)
{
    mmio_write32(pl011_base + UARTCR, 0);
    mmio_write32(pl011_base + UARTICR, INT_ALL);
    mmio_write32(pl011_base + UARTLCR_H, LCR_H_WLEN_8); /* FEN=0: each byte raises its own interrupt */
    mmio_write32(pl011_base + UARTCR, CR_UARTEN | CR_TXE | CR_RXE);
}

void pl011_enable_receive_interrupt(void)
{
    mmio_write32(pl011_base + UARTIMSC, INT_RX);
}

void pl011_clear_interrupts(void)
{
    mmio_write32(pl011_base + UARTICR, INT_ALL);
}

void pl011_put(u8 byte)
{
    while (mmio_read32(pl011_base + UARTFR) & FR_TXFF)
        ;
    mmio_write32(pl011_base + UARTDR, byte);
}

int pl011_get(void)
{
    if (mmio_read32(pl011_base + UARTFR) & FR_RXFE)
        return -1;
    return mmio_read32(pl011_base + UARTDR) & 0xff;
}
