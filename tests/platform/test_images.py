"""Guest files nobody should trust: whatever is wrong with one is a GuestImageError of one line, soon and in little memory."""

import os
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivisor import guests
from minivisor.errors import GuestImageError
from minivisor.platform.image import load_image

RAM, SIZE = 0x4000_0000, 64 << 20
EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
PHDR = struct.Struct("<IIQQQQQQ")


def elf(
    segments, *, entry=0x4020_0000, machine=183, kind=2, ident=b"\x7fELF\x02\x01\x01", phnum=None, body=b"\x00" * 64
):
    """A small ELF: headers, then `body`. segments: (paddr, offset, filesz, memsz); offsets from the start of the body."""
    start = EHDR.size + PHDR.size * len(segments)
    count = len(segments) if phnum is None else phnum
    header = EHDR.pack(
        ident.ljust(16, b"\0"), kind, machine, 1, entry, EHDR.size, 0, 0, EHDR.size, PHDR.size, count, 0, 0, 0
    )
    table = [PHDR.pack(1, 5, start + offset, pa, pa, size, memory, 4096) for pa, offset, size, memory in segments]
    return header + b"".join(table) + body


GOOD = (0x4020_0000, 0, 64, 64)


def load(tmp_path, data):
    file = tmp_path / "kernel.elf"
    file.write_bytes(data)
    return load_image(file, RAM, SIZE)


def refused(tmp_path, data, *words):
    with pytest.raises(GuestImageError) as caught:
        load(tmp_path, data)
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in ("kernel.elf", *words)), message


def test_the_small_elf_itself_is_good(tmp_path):
    image = load(tmp_path, elf([GOOD]))
    assert image.entry == 0x4020_0000 and image.pieces == ((0x4020_0000, b"\x00" * 64, 64),)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"\x7fELF", "damaged"),
        (elf([GOOD])[:40], "damaged"),
        (elf([GOOD])[:80], "damaged"),
        (elf([GOOD])[:-1], "truncated"),
        (elf([GOOD], machine=62), "EM_X86_64"),
        (elf([GOOD], machine=0xFFFF), "65535"),
        (elf([GOOD], ident=b"\x7fELF\x01\x01\x01"), "expected"),
        (elf([GOOD], ident=b"\x7fELF\x02\x02\x01"), "expected"),
        (elf([GOOD], kind=3), "ET_DYN"),
        (elf([]), "nothing to load"),
        (elf([(0x3FFF_F000, 0, 64, 64)]), "outside RAM"),
        (elf([(RAM + SIZE - 32, 0, 64, 64)]), "outside RAM"),
        (elf([(0x4020_0000, 0, 64, 1 << 62)]), "outside RAM"),
        (elf([(0xFFFF_FFFF_FFFF_FFF0, 0, 64, 64)]), "outside RAM"),
        (elf([(0x4020_0000, 0, 1 << 40, 1 << 40)]), "lies"),
        (elf([(0x4020_0000, 1 << 63, 64, 64)]), "lies"),
        (elf([(0x4020_0000, 0, 64, 8)]), "lies"),
        (elf([GOOD], entry=0x4100_0000), "starts at"),
        (elf([GOOD, (0x4020_0020, 0, 64, 64)]), "overlap"),
    ],
)
def test_a_wrong_file_is_named_in_one_line(tmp_path, data, word):
    refused(tmp_path, data, word)


def test_many_segments_over_the_same_bytes_cost_no_memory(tmp_path):
    body = b"\x00" * (1 << 20)
    data = elf([(0x4020_0000, 0, len(body), len(body))] * 3000, body=body)  # 3 GiB, if one believed it
    tracemalloc.start()
    refused(tmp_path, data, "overlap")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def test_a_flat_image_larger_than_ram_is_refused(tmp_path):
    file = tmp_path / "flat.bin"
    with file.open("wb") as stream:
        stream.truncate(SIZE)  # fits RAM, but not from where a flat image starts
    with pytest.raises(GuestImageError, match="outside RAM"):
        load_image(file, RAM, SIZE)
    os.truncate(file, 1 << 40)  # a hole: no disk is used
    with pytest.raises(GuestImageError, match="larger than"):
        load_image(file, RAM, SIZE)


def test_what_is_not_a_file_is_refused(tmp_path):
    with pytest.raises(GuestImageError, match=r"directory|denied"):
        load_image(tmp_path, RAM, SIZE)
    with pytest.raises(GuestImageError, match="No such file"):
        load_image(tmp_path / "nothing", RAM, SIZE)


@pytest.mark.skipif(os.name == "nt", reason="NOT RUN: no /dev/zero on Windows")
def test_a_file_without_an_end_is_refused():
    with pytest.raises(GuestImageError, match="device or a pipe"):
        load_image("/dev/zero", RAM, SIZE)


ORIGINAL = guests.path("hello").read_bytes()
HEADERS = len(ORIGINAL) if len(ORIGINAL) < 512 else 512


@given(
    changes=st.lists(st.tuples(st.integers(0, HEADERS - 1), st.integers(0, 255)), min_size=1, max_size=8),
    length=st.one_of(st.just(len(ORIGINAL)), st.integers(0, len(ORIGINAL))),
)
def test_no_mutated_elf_escapes(tmp_path_factory, changes, length):
    data = bytearray(ORIGINAL)
    for position, value in changes:
        data[position] = value
    file = tmp_path_factory.getbasetemp() / "mutated.elf"
    file.write_bytes(data[:length])
    try:
        image = load_image(file, RAM, SIZE)
    except GuestImageError as problem:
        assert "\n" not in str(problem)
    else:
        for address, content, size in image.pieces:
            assert len(content) <= size and RAM <= address and address + size <= RAM + SIZE


FIELDS = [
    (4, 1),
    (5, 1),
    (16, 2),
    (18, 2),
    (24, 8),
    (32, 8),
    (40, 8),
    (52, 2),
    (54, 2),
    (56, 2),
    (58, 2),
    (60, 2),
    (62, 2),
]
FIELDS += [(64 + offset, size) for offset, size in ((0, 4), (8, 8), (16, 8), (24, 8), (32, 8), (40, 8), (48, 8))]
NASTY = st.sampled_from(
    [0, 1, 0x7F, 0xFFFF, 0xFFFF_FFFF, 1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
)


@given(lies=st.lists(st.tuples(st.sampled_from(FIELDS), NASTY), min_size=1, max_size=4))
def test_no_header_that_lies_escapes(tmp_path_factory, lies):
    data = bytearray(ORIGINAL)
    for (offset, size), value in lies:
        data[offset : offset + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    file = tmp_path_factory.getbasetemp() / "lying.elf"
    file.write_bytes(data)
    try:
        load_image(file, RAM, SIZE)
    except GuestImageError as problem:
        assert "\n" not in str(problem)
