/*
 * Arm PrimeCell UART PL011 (DDI 0183), as much as a console needs.
 *
 * `pl011_base` starts as the virtual platform's fixed address, so that a guest can print before it has read anything; a
 * kernel that reads the device tree, or turns its MMU on, points it elsewhere.
 */
#pragma once

#include "arch.h"

#define PL011_DEFAULT_BASE 0x09000000ul

extern u64 pl011_base;

void pl011_enable(void);                 /* 8 data bits, no FIFO, receiver and transmitter on */
void pl011_enable_receive_interrupt(void);
void pl011_clear_interrupts(void);
void pl011_put(u8 byte);                 /* waits while the transmitter is full */
int pl011_get(void);                     /* the next byte received, or -1 */
