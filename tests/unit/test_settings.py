"""What the environment may say."""

from __future__ import annotations

import pytest

from gateway.errors import ConfigurationError
from gateway.settings import LEAST_WORKER_MEMORY, read_settings


@pytest.mark.parametrize("value", ["0", str(LEAST_WORKER_MEMORY), "8192"])
def test_the_memory_of_a_worker_is_a_number_of_mebibytes(value: str) -> None:
    assert read_settings({"GATEWAY_WORKER_MEMORY": value}).worker_memory == int(value)


@pytest.mark.parametrize("value", ["", "-1", "512", "4GiB"])
def test_too_little_memory_for_a_worker_stops_the_process(value: str) -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_WORKER_MEMORY"):
        read_settings({"GATEWAY_WORKER_MEMORY": value})
