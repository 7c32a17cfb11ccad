"""The walker on tables made of a dictionary: which entries it yields, and that it looks again after each."""

from minivisor.hypervisor.walker import visit

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
ROOT, MIDDLE, LAST = 0x1000, 0x2000, 0x3000


class Dictionary:
    root = ROOT

    def __init__(self):
        self.words = {ROOT + 8: MIDDLE | 3, MIDDLE + 8: LAST | 3, MIDDLE + 16: 0x8020_0001, LAST: 0x9000_0003}

    def read(self, pa):
        return self.words.get(pa, 0)


def seen(tables, start, end):
    return [(entry.level, entry.base, entry.start, entry.end, entry.valid) for entry in visit(tables, start, end)]


def test_holes_blocks_and_pages_in_order():
    assert seen(Dictionary(), GIB - 4 * KIB, GIB + 2 * MIB + 8 * KIB) == [
        (1, 0, GIB - 4 * KIB, GIB, False),
        (2, GIB, GIB, GIB + 2 * MIB, False),
        (3, GIB + 2 * MIB, GIB + 2 * MIB, GIB + 2 * MIB + 4 * KIB, True),
        (3, GIB + 2 * MIB + 4 * KIB, GIB + 2 * MIB + 4 * KIB, GIB + 2 * MIB + 8 * KIB, False),
    ]


def test_part_of_a_block():
    (entry,) = visit(Dictionary(), GIB + 5 * MIB, GIB + 6 * MIB)
    assert (entry.level, entry.base, entry.start, entry.end) == (2, GIB + 4 * MIB, GIB + 5 * MIB, GIB + 6 * MIB)
    assert (entry.slot, entry.output, entry.valid, entry.whole) == (MIDDLE + 16, 0x8020_0000, True, False)
    assert next(visit(Dictionary(), GIB + 4 * MIB, GIB + 6 * MIB)).whole


def test_a_table_put_in_place_of_an_entry_is_walked_at_once():
    tables, levels = Dictionary(), []
    for entry in visit(tables, GIB + 4 * MIB, GIB + 4 * MIB + 8 * KIB):
        levels.append((entry.level, entry.start, entry.valid))
        if entry.level == 2:
            tables.words[entry.slot] = 0x4003
            tables.words[0x4008] = 0x8020_1003
    assert levels == [(2, GIB + 4 * MIB, True), (3, GIB + 4 * MIB, False), (3, GIB + 4 * MIB + 4 * KIB, True)]


def test_an_empty_range_has_no_entries():
    assert seen(Dictionary(), GIB, GIB) == []
