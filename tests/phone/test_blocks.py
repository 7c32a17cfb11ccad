"""Half blocks: every pixel at its place, whatever the room."""

import numpy as np
import pytest

from minivisor.phone.blocks import UPPER_HALF, fit, half_blocks

PICTURE = np.random.default_rng(1).integers(0, 256, (256, 160, 3), dtype=np.uint8)


def pixels(rows):
    """Back from segments to a picture, by the definition of the upper half block."""
    lines = []
    for row in rows:
        upper, lower = [], []
        for segment in row:
            assert set(segment.text) == {UPPER_HALF}
            upper += [segment.style.color.triplet] * len(segment.text)
            lower += [segment.style.bgcolor.triplet] * len(segment.text)
        lines += [upper, lower]
    return np.array(lines, np.uint8)


def test_the_cells_are_the_picture():
    assert np.array_equal(pixels(half_blocks(PICTURE)), PICTURE)


def test_like_neighbours_are_one_segment():
    flat = np.zeros((4, 100, 3), np.uint8)
    flat[:, 50:] = 9
    assert [[len(segment.text) for segment in row] for row in half_blocks(flat)] == [[50, 50], [50, 50]]


@pytest.mark.parametrize(("columns", "rows"), [(27, 22), (160, 128), (40, 30), (1, 1), (500, 100), (9, 300), (79, 23)])
def test_a_picture_fits_its_room_and_keeps_its_shape(columns, rows):
    shown = fit(PICTURE, columns, rows)
    height, width, _ = shown.shape
    assert width <= columns and height <= 2 * rows and height % 2 == 0
    assert width * 1.1 >= columns - 1 or height * 1.1 >= 2 * rows - 2  # it uses what there is, one way or the other
    if min(columns, rows) > 8:
        assert width / height == pytest.approx(160 / 256, rel=0.15)


def test_half_the_room_shows_the_mean_of_four_pixels():
    shown = fit(PICTURE, 84, 68)  # a little more than half
    mean = PICTURE.reshape(128, 2, 80, 2, 3).astype(float).mean(axis=(1, 3))
    assert shown.shape == (128, 80, 3) and np.abs(shown - mean).max() <= 1


def test_a_larger_room_shows_whole_pixels():
    shown = fit(PICTURE, 400, 300)
    assert shown.shape == (512, 320, 3)
    assert np.array_equal(shown[::2, ::2], PICTURE) and np.array_equal(shown[1::2, 1::2], PICTURE)
