"""What a URL means, backend by backend."""

from __future__ import annotations

import pytest

from confo import CredentialsError
from confo.url import parse


@pytest.mark.parametrize(
    ("url", "credentials", "namespace"),
    [
        ("etcd://127.0.0.1:2379/sales", {"host": "127.0.0.1", "port": 2379}, "sales"),
        ("etcd://127.0.0.1", {"host": "127.0.0.1"}, None),
        ("etcd://[::1]:2379/sales", {"host": "::1", "port": 2379}, "sales"),
        ("etcd://[::1]/sales", {"host": "::1"}, "sales"),
        ("etcd://a:1,b:2/sales", {"endpoints": ["a:1", "b:2"]}, "sales"),
        (
            "etcd://kabelo:p%40ss@h:1/sales?timeout=2.5&insecure=true&prefix=/x/",
            {
                "host": "h",
                "port": 1,
                "user": "kabelo",
                "password": "p@ss",
                "timeout": 2.5,
                "insecure": True,
                "prefix": "/x/",
            },
            "sales",
        ),
        ("memory://shop/sales", {"store": "shop"}, "sales"),
        ("memory:///sales?history=5", {"history": 5}, "sales"),
        ("memory://", {}, None),
    ],
)
def test_what_a_url_means(url, credentials, namespace):
    """Scheme, host, user, path and query become kind, credentials and namespace."""
    target = parse(url)
    assert (target.kind, target.credentials, target.namespace) == (url.partition(":")[0], credentials, namespace)


def test_a_port_that_is_no_number_is_the_backends_to_refuse():
    """A port that is no number is handed on as it is, and refused with the backend's own words."""
    assert parse("etcd://h:abc/sales").credentials == {"host": "h", "port": "abc"}


@pytest.mark.parametrize("url", ["etcd://h:1/folder/sales", "memory://shop/folder/sales"])
def test_folders_mean_nothing_to_a_server(url):
    """A path of several parts is refused where it has no meaning."""
    with pytest.raises(CredentialsError, match=r"://"):
        parse(url)


@pytest.mark.parametrize("url", ["etcd://root:hun/ter2@h:1/sales", "etcd://root:hun?ter2@h:1/sales"])
def test_a_password_with_a_slash_is_shown_to_nobody(url):
    """A password that was not written as a URL wants it is refused, and no part of it is in the error."""
    with pytest.raises(CredentialsError, match="URL") as caught:
        parse(url)
    assert "ter2" not in str(caught.value)
    assert "p@ss" not in repr(parse("etcd://kabelo:p%40ss@h:1/sales"))
