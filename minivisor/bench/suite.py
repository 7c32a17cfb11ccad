"""A folder of conformance images, each run as a guest, and what they say of themselves.

Written for kvm-unit-tests, which nobody has to send us: a user builds them and names the folder. Each image prints its own
verdict as its last line and powers off:

    EXIT: STATUS=n      n = exit code of the test << 1 | 1: 1 passed, 3 failed, 77 skipped itself, anything else broke

Which images there are, and how each wants to be called, is read from `unittests.cfg` beside them:

    [gicv2-mmio-3p]                                    a section a test
    file = gic.flat                                    the image
    smp = $((($MAX_SMP < 3)?$MAX_SMP:3))               its vCPUs: at most so many, and at most `--smp`
    test_args = mmio                                   its boot arguments
    qemu_params = -machine gic-version=3 -m 256        which GIC it is for, and RAM in MiB
    accel, groups, arch, timeout, disabled_if          not ours: nothing is left out because of its name

An image that no section names runs as `LONERS` says, or as it is. Nothing here decides that a test is skipped: a guest that
finds no PMU, no ITS or no second translation granule says so itself. A test that does not end is cut by virtual time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from minivisor.errors import OptionError, fault
from minivisor.hypervisor.cost import cost_model
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import RAM, PersonaSettings
from minivisor.hypervisor.placement import BLOCK
from minivisor.machine.board import Machine
from minivisor.platform.image import load_image

__all__ = ["VERDICTS", "Result", "Test", "read_suite", "run_test"]

CONFIGURATION = "unittests.cfg"
BOARDS = {2: "a", 3: "b"}
MIB = 1 << 20
MEMORY = 256 * MIB
VERDICTS = {1: "PASS", 3: "FAIL", 77: "SKIP"}
LONERS = {"spinlock-test.flat": ("real", 4)}  # image -> (arguments, vCPUs): without arguments its locks do nothing
STATUS = re.compile(rb"^EXIT: STATUS=(\d+)", re.MULTILINE)
LINES = re.compile(rb"^(PASS|FAIL|SKIP|XFAIL|XPASS): ", re.MULTILINE)
MIGRATE, MIGRATION = b"Now migrate the VM", re.compile(rb"Now migrate the VM|Skipped VM migration")  # then a key
MOST_CPUS, STEP = 8, 5_000_000  # STEP: ns of virtual time between two looks at what it prints


@dataclass(frozen=True, slots=True)
class Test:
    """One image and how to call it. memory: bytes. gic: 2 or 3."""

    name: str
    image: Path
    arguments: str = ""
    cpus: int = 1
    gic: int = 2
    memory: int = MEMORY


@dataclass(frozen=True, slots=True)
class Result:
    """verdict: PASS, FAIL, SKIP as the test says; ERROR for another status; NONE when it ended without; CUT by time.

    asked_to_migrate: it wanted to be moved to another host, then a key. It got the key, and was not moved.
    status: the number it printed, or None. lines: its own lines by verdict. virtual: ns. report: why it was stopped, or "".
    """

    name: str
    verdict: str
    status: int | None
    lines: dict[str, int]
    cpus: int
    gic: int
    virtual: int
    instructions: int
    digest: str
    asked_to_migrate: bool
    report: str
    console: str


def read_suite(folder: Path, most_cpus: int) -> list[Test]:
    """The tests of a folder, in the order of its configuration. Raises OptionError when there are none."""
    if not folder.is_dir():
        raise OptionError(fault("conformance", str(folder), "a folder with kvm-unit-tests images (*.flat)"))
    listed = list(_sections(folder, most_cpus)) if (folder / CONFIGURATION).is_file() else []
    images = {test.image for test in listed}
    alone = [path for path in sorted(folder.glob("*.flat")) if path not in images]
    for path in alone:
        arguments, cpus = LONERS.get(path.name, ("", 1))
        listed.append(Test(path.stem, path, arguments, min(cpus, most_cpus)))
    tests = [test for test in listed if test.image.is_file()]
    if not tests:
        raise OptionError(fault("conformance", str(folder), "images (*.flat); build kvm-unit-tests for arm64 first"))
    return tests


def _sections(folder: Path, most_cpus: int) -> Iterator[Test]:
    settings: dict[str, str] = {}
    text = (folder / CONFIGURATION).read_text(errors="replace")
    for line in [*map(str.strip, text.splitlines()), "[]"]:
        if re.fullmatch(r"\[.*\]", line):
            if "file" in settings:
                yield _test(folder, settings, most_cpus)
            settings = {"name": line[1:-1]}
        elif "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            settings[key.strip()] = value.strip()


def _test(folder: Path, settings: dict[str, str], most_cpus: int) -> Test:
    parameters = settings.get("qemu_params", "")
    gic, memory = re.search(r"gic-version=(\d)", parameters), re.search(r"-m (\d+)", parameters)
    test = Test(settings["name"], folder / settings["file"], settings.get("test_args", "").strip("'\""))
    wanted = [int(number) for number in re.findall(r"\d+", settings.get("smp", "1"))] or [most_cpus]
    return replace(
        test,
        cpus=min(*wanted, most_cpus, MOST_CPUS),
        gic=int(gic[1]) if gic and int(gic[1]) in BOARDS else test.gic,
        memory=int(memory[1]) * MIB if memory else test.memory,
    )


def _goes_on(hypervisor: Hypervisor, until: int) -> bool:
    """Run up to `until`. False when nothing can happen any more."""
    before = hypervisor.now
    return hypervisor.run(until) > before


def run_test(test: Test, limit: int, cost: str, mmu: str = "minivisor") -> Result:
    """Boot one image and let it run for `limit` ns of virtual time at most. Raises MinivisorError for a file that is none."""
    image = load_image(test.image, RAM, test.memory)
    hypervisor = Hypervisor(Machine(BOARDS[test.gic], mmu, ram=test.memory + BLOCK), cost=cost_model(cost))
    settings = PersonaSettings(test.name, memory=test.memory, cpus=test.cpus, bootargs=test.arguments, gic=test.gic)
    persona = hypervisor.add(settings, image)
    pressed = False
    while hypervisor.now < limit and hypervisor.alive and _goes_on(hypervisor, min(limit, hypervisor.now + STEP)):
        if not pressed and MIGRATION.search(persona.console):
            hypervisor.key(persona, ord("\r"))
            pressed = True
    console = bytes(persona.console)
    said = STATUS.findall(console)
    status = int(said[-1]) if said else None
    verdict = VERDICTS.get(status, "ERROR") if status is not None else "CUT" if hypervisor.alive else "NONE"
    counts = [match[1].decode() for match in LINES.finditer(console)]
    return Result(
        name=test.name,
        verdict=verdict,
        status=status,
        lines={word: counts.count(word) for word in sorted(set(counts))},
        cpus=test.cpus,
        gic=test.gic,
        virtual=hypervisor.now,
        instructions=hypervisor.core.retired,
        digest=hypervisor.trace.digest(),
        asked_to_migrate=MIGRATE in console,
        report=persona.report,
        console=console.decode(errors="replace"),
    )
