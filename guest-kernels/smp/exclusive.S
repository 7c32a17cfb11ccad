// A spin lock and a bare pair of exclusives (DDI 0487, B2.12 and the example in K13.3.1 "Acquiring a lock").
//
// Who waits for the lock sleeps in WFE. The STLR that frees it clears the waiter's exclusive monitor, which is an event; so
// nobody has to say SEV. SEVL makes the first WFE fall through.

        .text
        .global lock
lock:
        mov     w2, #1
        sevl
1:      wfe
2:      ldaxr   w1, [x0]
        cbnz    w1, 1b
        stxr    w1, w2, [x0]
        cbnz    w1, 2b
        ret

        .global unlock
unlock:
        stlr    wzr, [x0]
        ret

        .global load_exclusive
load_exclusive:
        mov     x1, x0
        ldxr    w0, [x1]
        ret

        .global store_exclusive
store_exclusive:
        mov     x2, x0
        stxr    w0, w1, [x2]
        ret
