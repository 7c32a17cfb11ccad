"""`minivisor conformance DIR`: a folder of kvm-unit-tests images as guests, and a scoreboard of what they say."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from minivisor.errors import OptionError, fault

if TYPE_CHECKING:
    from minivisor.bench.suite import Result

__all__ = ["command"]

GOOD = ("PASS", "SKIP")
EPILOG = """\b
Build the suite yourself (./configure --arch=arm64 --cross-prefix=aarch64-linux-gnu- && make); DIR is its folder arm/.
unittests.cfg beside the images says how each wants to be called; an image that it leaves out is run as well.

\b
  PASS, FAIL, SKIP   the test's own word        ERROR   a status that is none of these
  CUT                still running after --for  NONE    it ended without a word

\b
Examples:
  minivisor conformance kvm-unit-tests/arm
  minivisor conformance kvm-unit-tests/arm --only 'gicv2|psci' --console
  minivisor conformance kvm-unit-tests/arm --json > scoreboard.json

\b
Exit status: 0 when each test passed or skipped itself, 1 when one did not, 2 for a folder or an option that is wrong."""


@click.command(epilog=EPILOG)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--only", metavar="REGEX", default="", help="Only tests whose name matches.")
@click.option("--for", "duration", metavar="TIME", default="20s", show_default=True,
              help="Cut a test after so much virtual time.")  # fmt: skip
@click.option("--smp", "cpus", type=click.IntRange(1, 8), default=4, metavar="N", show_default=True,
              help="Virtual CPUs at most; a test may ask for fewer.")  # fmt: skip
@click.option(
    "--cost-model", default="polling", metavar="MODEL", show_default=True, help="zero, kvm-arm-2016 or polling."
)
@click.option("--mmu", type=click.Choice(["minivisor", "unicorn"]), default="minivisor", show_default=True,
              help="minivisor (the walk you can read) or unicorn (the engine's own).")  # fmt: skip
@click.option("--console", is_flag=True, help="Show what each test prints, too.")
@click.option("--json", "as_json", is_flag=True, help="The scoreboard as JSON on stdout, and nothing else there.")
@click.pass_context
def command(context: click.Context, /, folder: Path, only: str, duration: str, cpus: int, cost_model: str, mmu: str,
            console: bool, as_json: bool) -> None:  # fmt: skip
    """Run the kvm-unit-tests images in DIR as guests and print a scoreboard of their own verdicts."""
    import re

    from minivisor.bench.suite import read_suite, run_test
    from minivisor.hypervisor.cost import cost_model as known
    from minivisor.phone.units import parse_duration

    limit, _ = parse_duration(duration), known(cost_model)
    try:
        chosen = [test for test in read_suite(folder, cpus) if re.search(only, test.name)]
    except re.error as problem:
        raise OptionError(fault("--only", only, f"a regular expression ({problem})")) from None
    if not chosen:
        raise OptionError(fault("--only", only, f"the name of a test in {folder}"))
    results = []
    for test in chosen:
        results.append(run_test(test, limit, cost_model, mmu))
        if not as_json:
            click.echo(_line(results[-1]))
            if console:
                click.echo(results[-1].console)
    counts = Counter(result.verdict for result in results)
    summary = {
        "cost_model": cost_model,
        "mmu": mmu,
        "verdicts": dict(counts),
        "tests": [asdict(result) for result in results],
    }
    click.echo(json.dumps(summary, indent=2) if as_json else _summary(counts, cost_model, mmu))
    context.exit(0 if all(result.verdict in GOOD for result in results) else 1)


def _line(result: Result) -> str:
    lines = ", ".join(f"{count} {word}" for word, count in result.lines.items())
    lines += ("; " if lines else "") + "wanted to be migrated, was not" if result.asked_to_migrate else ""
    status = "-" if result.status is None else result.status
    where = f"{result.cpus} vCPU, GICv{result.gic}"
    return f"{result.verdict:5} {result.name:28} STATUS={status!s:4} {where:15} {result.virtual / 1e9:8.3f} s  {lines}"


def _summary(counts: Counter[str], cost: str, mmu: str) -> str:
    return f"\n{', '.join(f'{count} {verdict}' for verdict, count in counts.items())}; cost model {cost}, mmu {mmu}"
