"""The arm64 boot protocol: where an Image and its RAM disk go, and what is said about one that is not whole."""

import gzip
import struct

import pytest

from minivisor.errors import GuestImageError
from minivisor.platform.image import TREE_ROOM, load_image, with_initrd

RAM, SIZE, MIB = 0x4000_0000, 64 << 20, 1 << 20


def image(text_offset=0, size=3 * MIB, flags=0b1010, sections=(), length=0x2000, magic=b"ARM\x64"):
    """A small Image. sections: (bytes, offset in the file) of its EFI stub."""
    header = b"MZ\0\x91" + b"\0" * 4 + struct.pack("<QQQ", text_offset, size, flags) + b"\0" * 24 + magic
    header += (0x40).to_bytes(4, "little")
    stub = b"PE\0\0" + struct.pack("<HH12xHH", 0xAA64, len(sections), 0, 0)
    stub += b"".join(b".text\0\0\0" + struct.pack("<4I16x", size_, 0, size_, offset) for size_, offset in sections)
    return (header + (stub if sections else b"")).ljust(length, b"\x1f")


def load(tmp_path, data, name="Image"):
    (tmp_path / name).write_bytes(data)
    return load_image(tmp_path / name, RAM, SIZE)


@pytest.mark.parametrize(("text_offset", "at"), [(0, RAM + 2 * MIB), (0x8_0000, RAM + 0x8_0000), (4096, RAM + 2 * MIB + 4096)])
def test_an_image_goes_where_its_header_says_and_never_over_the_device_tree(tmp_path, text_offset, at):
    loaded = load(tmp_path, image(text_offset))
    assert loaded.entry == at and loaded.pieces[0][0] == at and loaded.pieces[0][2] == 3 * MIB


def test_a_packed_image_is_the_same_image(tmp_path):
    packed, plain = load(tmp_path, gzip.compress(image())), load(tmp_path, image())
    assert packed.pieces == plain.pieces and packed.entry == plain.entry


def test_a_file_without_the_magic_is_flat(tmp_path):
    assert load(tmp_path, image(magic=b"ARM?")).entry == RAM + 0x8_0000


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (gzip.compress(bytes(range(256)) * 20)[:200], "truncated"),
        (gzip.compress(image())[:-8] + b"\0" * 8, "damaged"),
        (b"\x1f\x8b" + b"\xff" * 40, "damaged"),
        (image(flags=0b1011), "big-endian"),
        (image(flags=0b1100), "16 KiB pages"),
        (image(flags=0b1110), "64 KiB pages"),
        (image(text_offset=1 << 40), "text_offset"),
        (image(sections=[(0x1000, 0x1000), (0x4000, 0x2000)]), "truncated: its sections end at byte 24576"),
        (image(size=65 * MIB), "outside RAM"),
        (image(size=1 << 63), "outside RAM"),
    ],
    ids=["cut gzip", "wrong sum", "no gzip", "endian", "16k", "64k", "offset", "cut", "large", "huge"],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, data, words):
    with pytest.raises(GuestImageError) as caught:
        load(tmp_path, data)
    assert words in str(caught.value) and "Image" in str(caught.value) and "\n" not in str(caught.value)


def test_whole_sections_are_no_complaint(tmp_path):
    assert load(tmp_path, image(sections=[(0x1000, 0x1000)])).entry == RAM + 2 * MIB


@pytest.mark.parametrize("kernel", [image(), b"\0" * 100], ids=["Image", "flat"])
def test_the_ram_disk_goes_to_the_next_2_mib_behind_kernel_and_tree(tmp_path, kernel):
    loaded = load(tmp_path, kernel)
    (tmp_path / "disk").write_bytes(b"disk")
    start, end = with_initrd(loaded, tmp_path / "disk", RAM, SIZE).initrd
    before = max(loaded.entry + loaded.pieces[0][2], loaded.tree + TREE_ROOM)
    assert start % (2 * MIB) == 0 and 0 <= start - before < 2 * MIB and end - start == 4


@pytest.mark.parametrize("size", [0, 59 * MIB])
def test_a_ram_disk_that_cannot_be_there_is_refused(tmp_path, size):
    with open(tmp_path / "disk", "wb") as disk:
        disk.truncate(size)
    with pytest.raises(GuestImageError, match=r"initrd: .*disk has \d+ bytes; 1 to 60817408 were expected"):
        with_initrd(load(tmp_path, image()), tmp_path / "disk", RAM, SIZE)


def test_a_ram_disk_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(GuestImageError, match="cannot be read"):
        with_initrd(load(tmp_path, image()), tmp_path / "nothing", RAM, SIZE)


@pytest.mark.parametrize(("length", "tree"), [(100, RAM + 2 * MIB), (MIB, RAM + 4 * MIB), (62 * MIB, RAM)])
def test_the_tree_keeps_away_from_what_a_flat_image_may_use_behind_its_end(tmp_path, length, tree):
    """kvm-unit-tests put their stack there, and insist that the tree is above it."""
    assert load(tmp_path, b"\1" * length).tree == tree
    assert load(tmp_path, image()).tree == RAM
