"""A driver that is not installed is said, with the command that brings it."""

from __future__ import annotations

import pytest

from workbench.contract.errors import Unsupported
from workbench.kit.drivers import needed


def test_a_driver_that_is_not_there_is_said() -> None:
    needed("json", "Nobody", "json")
    with pytest.raises(Unsupported) as caught:
        needed("wbt_no_such_driver", "The Kafka connector", "kafka")
    assert str(caught.value) == (
        "The Kafka connector cannot work without its driver, `wbt_no_such_driver`. "
        'Install it: pip install "analytics-workbench[kafka]", and start the kernel again.'
    )
