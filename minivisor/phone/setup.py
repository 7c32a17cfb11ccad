"""What a run was made of, so that a replay can tell whether it is made of the same: images, settings, devices, disks, parts.

It goes into the trace's metadata as words, contents as digests, before the run begins: a disk is what it was then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from minivisor.errors import OptionError, fault
from minivisor.hypervisor.hypervisor import Hypervisor
from minivisor.hypervisor.persona import Persona
from minivisor.platform.image import Image
from minivisor.trace.store import Trace

__all__ = ["difference", "note", "part"]

MARK = "set-up: "  # before the name of each thing that is compared
SAME = ("board", "cost_model", "seed", "personas")
"""Fields of the metadata that must be equal too. Not the MMU engine: a run is the same on both."""


def note(hypervisor: Hypervisor, options: Mapping[str, str] | None = None) -> None:
    """Write into the trace what this run is made of. options: more of it, that only the caller knows."""
    told = {"list registers": str(hypervisor.machine.list_registers), **(options or {})}
    for number, persona in enumerate(hypervisor.personas):
        told |= {f"{name} of persona {number}": words for name, words in _persona(persona).items()}
    metadata = hypervisor.trace.metadata
    marked = {f"{MARK}{name}": words for name, words in told.items()}
    hypervisor.trace.metadata = replace(metadata, extra={**metadata.extra, **marked})


def _persona(persona: Persona) -> dict[str, str]:
    settings = persona.settings
    size = f"{settings.memory >> 20} MiB, {settings.cpus} vCPUs, GICv{settings.gic}, weight {settings.weight}"
    devices = [transport.device.describe() for transport in persona.virtio.transports]
    return {
        "image": _image(persona.image),
        "settings": f"{size}, colour {settings.colour:06x}, arguments {settings.bootargs!r}",
        "devices": "; ".join(devices) or "none",
    }


def _image(image: Image) -> str:
    """A digest of what is loaded where, whatever the file is called."""
    digest = blake2b(f"{image.entry} {image.tree} {image.initrd}".encode(), digest_size=8)
    for address, content, size in image.pieces:
        digest.update(f"{address} {size}".encode() + content)
    return digest.hexdigest()


def part(text: str | None, default: str = "ours") -> str:
    """What an option names as a part of somebody's own: a word, or a file's name and a digest of what is in it."""
    file, _, name = (text or default).partition(":")
    if not Path(file).is_file():
        return text or default
    try:
        content = Path(file).read_bytes()
    except OSError as problem:
        raise OptionError(fault("file", f"{file} ({problem.strerror})", "a file that can be read")) from None
    return f"{name} {blake2b(content, digest_size=8).hexdigest()}".strip()


def difference(recorded: Trace, now: Trace) -> tuple[str, str, str] | None:
    """(what, as it is now, as it was) of the first thing that is not as recorded, None when all is."""
    for name in SAME:
        was, is_ = getattr(recorded.metadata, name), getattr(now.metadata, name)
        if was != is_:
            return name.replace("_", " "), str(is_), str(was)
    extra = now.metadata.extra
    for key, words in recorded.metadata.extra.items():
        if key.startswith(MARK) and extra.get(key, words) != words:
            return key.removeprefix(MARK), extra[key], words
    return None
