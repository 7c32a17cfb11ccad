"""Disks in files: what is refused and how, who may open them, and that nothing is ever torn."""

import os
import subprocess
import sys
import time

import pytest

from minivisor.errors import OptionError
from minivisor.platform.virtio.disk import FileDisk, MemoryDisk, open_disk


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(range(256)) * 64)
    return path


def test_a_file_is_read_and_written_in_place(image):
    disk = FileDisk(image)
    assert (disk.size, disk.read_only, disk.name) == (16384, False, "disk.img")
    into = bytearray(512)
    disk.read(512, memoryview(into))
    assert into == bytes(range(256)) * 2
    disk.write(1024, memoryview(b"\xaa" * 512))
    disk.zero(4096, 512)
    disk.flush()
    disk.close()
    disk.close()
    expected = bytearray(bytes(range(256)) * 64)
    expected[1024:1536], expected[4096:4608] = b"\xaa" * 512, bytes(512)
    assert image.read_bytes() == expected


@pytest.mark.parametrize(("suffix", "read_only"), [("", False), (":rw", False), (":ro", True)])
def test_a_suffix_says_how(image, suffix, read_only):
    disk = open_disk(f"{image}{suffix}")
    assert disk.read_only == read_only
    disk.close()


def test_a_file_without_write_permission_can_be_read_only(image):
    image.chmod(0o444)
    if not os.access(image, os.W_OK):  # root may write anything
        with pytest.raises(OptionError, match="FILE:ro"):
            open_disk(str(image))
    open_disk(f"{image}:ro").close()


@pytest.mark.parametrize("content", [b"", b"x", bytes(511), bytes(513)])
def test_a_file_of_odd_size_is_refused(tmp_path, content):
    path = tmp_path / "odd"
    path.write_bytes(content)
    with pytest.raises(OptionError, match=f"of {len(content)} bytes, expected whole sectors of 512 bytes"):
        FileDisk(path)
    path.write_bytes(bytes(512))
    FileDisk(path).close()  # the refusal did not keep it locked


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(OptionError, match=r"missing \(No such file"):
        open_disk(str(tmp_path / "missing"))
    with pytest.raises(OptionError, match="not a regular file"):
        open_disk(str(tmp_path))
    with pytest.raises(OptionError, match="null"):
        open_disk("nul\0byte")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OptionError, match="not a regular file"):
            open_disk(str(tmp_path / "pipe"))


def test_one_writer_or_many_readers(image):
    with pytest.raises(OptionError, match="in use"):
        writer = FileDisk(image)
        FileDisk(image)
    with pytest.raises(OptionError, match="in use"):
        FileDisk(image, read_only=True)
    writer.close()
    readers = [FileDisk(image, read_only=True) for _ in range(1 if sys.platform == "win32" else 2)]
    with pytest.raises(OptionError, match="in use"):
        FileDisk(image)
    for reader in readers:
        reader.close()


HOLDER = """
import sys, time
from minivisor.platform.virtio.disk import FileDisk
disk = FileDisk(sys.argv[1])
print("held", flush=True)
n = 0
while True:
    n += 1
    disk.write(0, memoryview(bytes((n & 0xFF,)) * disk.size))
"""


def test_another_program_holds_it_until_it_dies_and_leaves_whole_sectors(image):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(image)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OptionError, match="in use"):
            FileDisk(image)
        time.sleep(0.2)
    finally:
        holder.kill()
        holder.communicate()
    disk = FileDisk(image)
    content = bytearray(disk.size)
    disk.read(0, memoryview(content))
    disk.close()
    assert len(content) == 16384 and any(content)
    assert all(len(set(content[at : at + 512])) == 1 for at in range(0, len(content), 512))


def test_a_file_cut_short_by_somebody_else_is_an_error_of_the_host(image):
    disk = FileDisk(image)
    os.truncate(image, 1024)
    with pytest.raises(OSError, match="no more bytes"):
        disk.read(512, memoryview(bytearray(1024)))
    disk.close()


def test_zeroes_do_not_fill_a_sparse_file(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"data" * 1024)
    disk = FileDisk(path)
    disk.zero(0, 64 << 20)
    into = bytearray(8192)
    disk.read((32 << 20) - 2048, memoryview(into))
    disk.close()
    assert not any(into)
    if hasattr(os, "SEEK_DATA"):
        assert path.stat().st_blocks * 512 < 1 << 20


@pytest.mark.parametrize("content", [0, 511, b"odd"])
def test_a_disk_in_memory_has_whole_sectors_too(content):
    with pytest.raises(OptionError, match="multiple of 512"):
        MemoryDisk(content)
