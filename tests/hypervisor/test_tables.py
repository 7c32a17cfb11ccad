"""Table pages in physical memory: what is written is there, and what is handed out is zeroed."""

import numpy as np
import pytest

from minivisor.hypervisor.stage2 import map_page
from minivisor.hypervisor.tables import MemoryTables, OutOfTables

BASE, PAGE = 0x8000_0000, 4096


def test_descriptors_are_little_endian_words_of_physical_memory():
    memory = np.zeros(4 * PAGE, np.uint8)
    tables = MemoryTables(memory, BASE, BASE + PAGE, 2)
    assert tables.root == BASE + PAGE
    tables.write(BASE + PAGE + 8, 0x1122_3344_5566_7788)
    assert memory[PAGE + 8 : PAGE + 16].tobytes() == bytes.fromhex("8877665544332211")
    assert tables.read(BASE + PAGE + 8) == 0x1122_3344_5566_7788
    assert not memory[:PAGE].any()


def test_invalidations_reach_whoever_caches_and_the_log_keeps_order():
    seen, log = [], []
    tables = MemoryTables(np.zeros(2 * PAGE, np.uint8), BASE, BASE, 2, seen.append, log)
    tables.tlbi(0x4000_0000)
    tables.write(tables.root, 1)
    assert seen == [0x4000_0000]
    assert log == [("alloc", BASE), ("tlbi", 0x4000_0000), ("write", BASE, 1)]


def test_an_empty_pool_says_so():
    tables = MemoryTables(np.zeros(2 * PAGE, np.uint8), BASE, BASE, 2)
    with pytest.raises(OutOfTables):
        map_page(tables, 0, 0x8000_0000, "rw")


def test_a_freed_table_comes_back_zeroed():
    tables = MemoryTables(np.zeros(2 * PAGE, np.uint8), BASE, BASE, 2)
    page = tables.alloc()
    tables.write(page, 2**64 - 1)
    tables.free(page)
    assert tables.alloc() == page
    assert tables.read(page) == 0
