"""Lab 01: answer a call that nobody has answered before.

A guest runs `HVC #0`. By the SMC calling convention it has put the number of a function in W0 and wants the answer in
X0. You get the exit and a read-only view of its vCPU, and say what EL2 does next:

    exit.immediate   the number in the instruction itself: 0 for a call of the convention
    vcpu.x           X0 to X30 as the guest left them, so vcpu.x[0] holds the function id (its low 32 bits)
    vcpu.consumed    how long this vCPU has had the core, in nanoseconds
    vcpu.pc          where the guest goes on unless you write "PC"; the hardware has already moved it past the HVC

    Outcome(writes={"X0": 7})   put 7 into X0 and let the guest go on

Two things are wanted:

  1. HOW_LONG_HAVE_I_RUN is answered with the time this vCPU has had the core.
  2. Every other id is answered with NOT_SUPPORTED. That is -1, and a register holds no sign: see `to_register`.

(There is a third answer, `return NotImplemented`: then minivisor's own handler answers, as if you had not been asked.)
"""

from minivisor.arch.psci import ReturnCode, to_register  # noqa: F401
from minivisor.stages import Hvc, Outcome, Vcpu

HOW_LONG_HAVE_I_RUN = 0xC600_0001


def on_hvc(exit: Hvc, vcpu: Vcpu) -> Outcome:
    return Outcome()  # goes on, and answers nothing: X0 still holds the question
