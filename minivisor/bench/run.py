"""Measuring a row, in this process or in one of its own, and telling how far it has come."""

from __future__ import annotations

import json
import subprocess

from minivisor.bench.child import command
from minivisor.bench.pairs import Measured, Tell
from minivisor.bench.rows import Row
from minivisor.errors import MinivisorError

__all__ = ["measure"]


def measure(row: Row, rounds: int | None, quick: bool, tell: Tell) -> Measured:
    """The pairs of a row; rounds: how many, the row's own number unless given. Raises MinivisorError, RuntimeError."""
    count = rounds or (1 if quick else row.rounds)
    if row.isolated:
        return _in_child(row, count, quick, tell)
    return row.load()(count, quick, tell)


def _in_child(row: Row, rounds: int, quick: bool, tell: Tell) -> Measured:
    """What a child measured. It ends when we do, whatever ends us."""
    arguments = command("row", row.name, str(rounds), "quick" if quick else "full")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                message = json.loads(line)
                if "error" in message:
                    raise MinivisorError(message["error"])
                if "result" in message:
                    return _measured(message["result"])
                tell(message["progress"])
        except BaseException:
            process.kill()
            raise
    raise RuntimeError(f"bench {row.name}: its process ended with status {process.returncode} and without a result")


def _measured(result: dict[str, object]) -> Measured:
    measured = Measured(**result)  # type: ignore[arg-type]
    measured.pairs = [(ours, peer) for ours, peer in measured.pairs]
    return measured
