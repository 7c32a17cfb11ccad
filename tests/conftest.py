"""What every test stands on: no silent skips, no network, the same examples every time.

A test that needs something pip cannot install says so:

    @pytest.mark.needs("dtc")

Where the part is absent the test is NOT RUN: named with the reason at the end and counted under that name, never as
passed. With CI set nothing may be absent, so the same test fails there; a plain skip fails there too.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

CI = bool(os.environ.get("CI"))

# part -> (the programs or modules it goes by, how to get it)
PROGRAMS = {
    "aarch64-linux-gnu-objdump": (("aarch64-linux-gnu-objdump",), "apt-get install binutils-aarch64-linux-gnu"),
    "chromium": (("chromium", "chromium-browser", "google-chrome"), "apt-get install chromium libatomic1"),
    "dtc": (("dtc",), "apt-get install device-tree-compiler"),
    "gdb": (("gdb-multiarch", "aarch64-linux-gnu-gdb"), "apt-get install gdb-multiarch"),
    "git": (("git",), "apt-get install git"),
    "make": (("make",), "apt-get install make"),
    "qemu": (("qemu-system-aarch64",), "apt-get install qemu-system-arm"),
}
LINUX_KERNEL = Path("/usr/lib/debian-installer/images/12/arm64/text/debian-installer/arm64/linux")
LINUX_INITRD = Path(__file__).resolve().parent.parent / "build" / "linux" / "initrd.gz"
FILES = {"linux": ((LINUX_KERNEL, LINUX_INITRD), "make linux, with Debian's installer and apt")}
MODULES = {
    "jupyterlab": (("jupyterlab", "nbclient", "ipykernel"), "pip install -e .[notebooks]"),
    "playwright": (("playwright", "axe_playwright_python"), "pip install -e .[dev]"),
    "ziglang": (("ziglang",), "pip install -e .[guests]"),
}

# Examples are chosen by the test itself and not by chance: a failure in CI is a failure on the desk.
settings.register_profile("minivisor", deadline=None, derandomize=True, database=None)
settings.load_profile("minivisor")
os.environ["PIP_NO_INDEX"] = "1"


def absent(part: str) -> str:
    """Why a part cannot be used here, or an empty string when it can."""
    if part in PROGRAMS:
        names, remedy = PROGRAMS[part]
        return "" if any(map(shutil.which, names)) else f"no {names[0]} ({remedy})"
    if part in FILES:
        paths, remedy = FILES[part]
        return "" if all(path.is_file() for path in paths) else f"no {part} ({remedy})"
    if part in MODULES:
        names, remedy = MODULES[part]
        return "" if all(map(find_spec, names)) else f"no {part} ({remedy})"
    return f"unknown part {part!r}: tests/conftest.py knows {', '.join(sorted({*PROGRAMS, *MODULES, *FILES}))}"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    parts = [part for mark in item.iter_markers("needs") for part in mark.args]
    reasons = list(filter(None, map(absent, parts)))
    unknown = [reason for reason in reasons if reason.startswith("unknown")]
    if unknown or (reasons and CI):
        pytest.fail("; ".join(unknown or reasons), pytrace=False)
    if reasons:
        pytest.skip("NOT RUN: " + "; ".join(reasons))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Mark what was not run, and let nothing be skipped in CI."""
    report: Any = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        report.not_run = reason.removeprefix("NOT RUN: ")
        if CI:
            report.outcome, report.longrepr = "failed", f"skipped, which CI does not allow: {reason}"
    return report


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    return ("not run", "-", "NOT RUN") if report.skipped and hasattr(report, "not_run") else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.stats.get("not run", []):
        terminalreporter.write_line(f"NOT RUN: {report.nodeid}: {report.not_run}")
