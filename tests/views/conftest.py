"""One browser for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.views.browser import launched


@pytest.fixture(scope="module")  # it runs an event loop, in which no other test of this process could have its own
def browser() -> Iterator[Any]:
    with launched() as found:
        yield found
