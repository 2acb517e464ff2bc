"""URLs of proxies: what they mean, and that no login of theirs is shown."""

from __future__ import annotations

import pytest

from gateway.smtp.proxies import Proxy, masked_proxy, parse_proxy


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("socks://proxy.test", Proxy("socks5", "proxy.test", 1080, None, None, True)),
        ("socks5://u:p@10.0.0.1:9050", Proxy("socks5", "10.0.0.1", 9050, "u", "p", True)),
        ("socks5h://u@[2001:db8::1]:1", Proxy("socks5", "2001:db8::1", 1, "u", "", True)),
        ("socks4://proxy.test", Proxy("socks4", "proxy.test", 1080, None, None, False)),
        ("socks4a://proxy.test:1", Proxy("socks4", "proxy.test", 1, None, None, True)),
        ("http://us%65r:p%40ss%2Fword@proxy.test:3128/", Proxy("http", "proxy.test", 3128, "user", "p@ss/word", True)),
        ("http://proxy.test", Proxy("http", "proxy.test", 80, None, None, True)),
    ],
)
def test_each_kind_of_proxy_is_understood(url: str, expected: Proxy) -> None:
    """Logins are percent-encoded (RFC 3986 section 3.2.1)."""
    assert parse_proxy(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "https://u:s3cret@proxy.test",
        "ftp://u:s3cret@proxy.test",
        "socks5://u:s3cret@",
        "socks5://u:s3cret@proxy.test:port",
        "socks5://u:s3cret@proxy.test/path",
        "http://u:s3cret@proxy.test?query",
        "http://[::1:s3cret",
        f"socks5://u:{'s3cret' * 50}@proxy.test",
        "socks5://s3cret%C3%B6:x@proxy.test",
        "http://a%3Ab:s3cret@proxy.test",
    ],
)
def test_what_is_no_proxy_is_refused_without_being_repeated(url: str) -> None:
    """The text is told to clients and stands in logs."""
    with pytest.raises(ValueError, match=r"^(is|must)") as refused:
        parse_proxy(url)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("socks5://user:s3cret@proxy.test:1080", "socks5://******@proxy.test:1080"),
        ("http://t0ken@proxy.test", "http://******@proxy.test"),
        ("http://u:p@ss@proxy.test", "http://******@proxy.test"),
        ("socks4://proxy.test", "socks4://proxy.test"),
    ],
)
def test_user_and_password_are_never_shown(url: str, shown: str) -> None:
    """A token may stand in either place."""
    assert masked_proxy(url) == shown
    assert "s3cret" not in repr(parse_proxy(url))
