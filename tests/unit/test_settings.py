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


def test_a_name_server_has_an_address_and_perhaps_a_port() -> None:
    for value, meant in {
        "192.0.2.1": ("192.0.2.1", 53),
        "192.0.2.1:5353": ("192.0.2.1", 5353),
        "2001:db8::1": ("2001:db8::1", 53),
        "[2001:db8::1]:5353": ("2001:db8::1", 5353),
    }.items():
        assert read_settings({"GATEWAY_INBOUND_RESOLVER": value}).inbound_resolver == meant


@pytest.mark.parametrize("value", ["", "dns.example.com", "192.0.2.1:", "192.0.2.1:x", "192.0.2.1:70000", "1.2.3"])
def test_a_name_server_that_is_none_stops_the_process(value: str) -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_INBOUND_RESOLVER"):
        read_settings({"GATEWAY_INBOUND_RESOLVER": value})


def test_the_domain_of_delivery_tests_is_read_as_the_dns_reads_it() -> None:
    assert (
        read_settings({"GATEWAY_DELIVERY_TEST_DOMAIN": "Test.Example.COM"}).delivery_test_domain == "test.example.com"
    )


@pytest.mark.parametrize(
    "value", ["", "localhost", "a b.test", "x@example.com", "-a.example", "ex\u00e4mple.com", "a..b"]
)
def test_a_domain_that_is_none_stops_the_process(value: str) -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_DELIVERY_TEST_DOMAIN"):
        read_settings({"GATEWAY_DELIVERY_TEST_DOMAIN": value})
