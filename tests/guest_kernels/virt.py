"""An independent machine for the guests: QEMU's `virt` board, watched from outside.

The platform the guests are written for follows this board (docs of both give the same addresses), so a guest that works
here and fails under minivisor has found a bug in minivisor. QEMU knows nothing of the persona's settings or of its
framebuffer: they are edited into QEMU's own device tree with dtc.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

RAM_BASE = 0x4000_0000
FRAMEBUFFER = 0x43FE_0000
WIDTH, HEIGHT, STRIDE = 160, 240, 320
MACHINE = "qemu-system-aarch64 -M virt,gic-version=2 -cpu cortex-a57 -m 64 -nodefaults -display none".split()


def machine(gic: int = 2) -> list[str]:
    """QEMU's command for a board with this version of interrupt controller."""
    return [word.replace("gic-version=2", f"gic-version={gic}") for word in MACHINE]


PATIENCE = 10.0  # seconds of host time for anything that should happen at once


def device_tree(folder: Path, chosen: str = "", framebuffer: str | None = None) -> Path:
    """QEMU's own device tree with `chosen` added to /chosen and a framebuffer node; returns the path of the blob."""
    if framebuffer is None:
        framebuffer = (
            f'compatible = "simple-framebuffer"; reg = <0 {FRAMEBUFFER} 0 0x20000>; format = "r5g6b5";'
            f" width = <{WIDTH}>; height = <{HEIGHT}>; stride = <{STRIDE}>;"
        )
    blob = folder / "virt.dtb"
    dump = [*MACHINE[:2], f"virt,gic-version=2,dumpdtb={blob}", *MACHINE[3:]]
    subprocess.run(dump, check=True, capture_output=True)
    decompile = ["dtc", "-q", "-I", "dtb", "-O", "dts", str(blob)]
    source = subprocess.run(decompile, check=True, capture_output=True, text=True).stdout
    edited = source.replace("chosen {", f"framebuffer@{FRAMEBUFFER:x} {{ {framebuffer} }}; chosen {{ {chosen}", 1)
    subprocess.run(["dtc", "-q", "-O", "dtb", "-o", str(blob)], input=edited, check=True, text=True)
    return blob


class Virt:
    """One run of a guest. A context manager; leaving it ends QEMU."""

    def __init__(self, image: Path, folder: Path, *arguments: str, gic: int = 2) -> None:
        self.output = ""
        control = folder / "qmp"
        monitor = ["-qmp", f"unix:{control},server,wait=on", "-serial", "stdio"]
        self.process = subprocess.Popen(
            [*machine(gic), *monitor, "-no-shutdown", "-kernel", str(image), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout
        os.set_blocking(self.process.stdout.fileno(), False)
        self.link = self._connect(control)
        self.control = self.link.makefile("rw")
        self.control.readline()
        self.command("qmp_capabilities")

    def _connect(self, path: Path) -> socket.socket:
        link = socket.socket(socket.AF_UNIX)
        for _ in range(int(PATIENCE * 100)):
            try:
                link.connect(str(path))
                return link
            except OSError:
                time.sleep(0.01)
        raise TimeoutError("QEMU did not open its control socket")

    def __enter__(self) -> Virt:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.control.close()
        self.link.close()

    def command(self, name: str, **arguments: Any) -> Any:
        """One QMP command and its answer; events that arrive meanwhile are passed over."""
        self.control.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.control.flush()
        for line in self.control:
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            assert "error" not in answer, answer
        raise EOFError("QEMU ended")

    def listen(self) -> str:
        """Everything the console has said so far."""
        assert self.process.stdout
        self.output += (self.process.stdout.read() or b"").decode()
        return self.output

    def until(self, text: str) -> str:
        """Everything the console has said, once `text` is in it."""
        end = time.monotonic() + PATIENCE
        while text not in self.listen():
            assert time.monotonic() < end, f"no {text!r} in {self.output!r}"
            time.sleep(0.005)
        return self.output

    def type(self, keys: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(keys.encode())
        self.process.stdin.flush()

    def until_off(self) -> None:
        """Wait for PSCI SYSTEM_OFF; memory can still be read then."""
        end = time.monotonic() + PATIENCE
        while self.command("query-status")["status"] != "shutdown":
            assert time.monotonic() < end, f"still running: {self.output!r}"
            time.sleep(0.01)

    def memory(self, address: int, size: int, folder: Path) -> bytes:
        """`size` bytes of guest-physical memory."""
        file = folder / "memory.bin"
        self.command("pmemsave", val=address, size=size, filename=str(file))
        return file.read_bytes()

    def program_counter(self) -> int:
        registers = self.command("human-monitor-command", **{"command-line": "info registers"})
        return int(registers.split("PC=")[1].split()[0], 16)
