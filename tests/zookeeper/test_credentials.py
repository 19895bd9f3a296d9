"""Credentials: what is taken, under which names, and what is refused with the reason."""

from __future__ import annotations

import pytest

from confo import CredentialsError
from confo_zookeeper import ZookeeperBackend
from confo_zookeeper.credentials import SAME, parse

HERE = {"zookeeper_host": "127.0.0.1"}


@pytest.mark.parametrize(
    ("given", "hosts"),
    [
        (HERE, ("127.0.0.1:2181",)),
        ({"host": "zoo", "port": "2182"}, ("zoo:2182",)),
        ({"zookeeper_host": "::1", "zookeeper_port": 1}, ("[::1]:1",)),
        ({"hosts": "a:1,b"}, ("a:1", "b:2181")),
        ({"hosts": ["a:1", "[::1]:2", "[::1]", "a:1"]}, ("a:1", "[::1]:2", "[::1]:2181")),
    ],
)
def test_hosts(given, hosts):
    """One host or several, with and without a port, by either name, each once."""
    assert parse(given).hosts == hosts


def test_defaults():
    """Who gives a host only gets the prefix and the timeout of the README, nobody's name and no TLS."""
    found = parse(HERE)
    assert (found.prefix, found.timeout, found.user, found.password, found.tls) == ("/confo", 5.0, None, None, None)


@pytest.mark.parametrize("prefix", ["shop", "/shop", "/shop/", "shop/"])
def test_prefixes(prefix):
    """A prefix is one path however its slashes are written."""
    assert parse({**HERE, "prefix": prefix}).prefix == "/shop"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "needs"),
        ({"zookeeper_hots": "a"}, 'zookeeper_hots".*did you mean "zookeeper_host'),
        ({**HERE, "host": "a"}, "twice"),
        ({**HERE, "hosts": ["a:1"]}, "both given"),
        ({"hosts": []}, "at least one|empty"),
        ({"hosts": [1]}, "item 1.*not int"),
        ({"hosts": {"a": 1}}, "not dict"),
        ({"hosts": ["a:b"]}, "number from 1"),
        ({"hosts": ["user:p4ss@zoo/x:1"]}, "a user or a password in it"),
        ({"host": "a b"}, "not a host"),
        ({**HERE, "port": 70000}, "65535"),
        ({**HERE, "port": True}, "number from 1"),
        ({**HERE, "user": "a"}, 'without "zookeeper_passwd"'),
        ({**HERE, "password": "p4ss"}, 'without "zookeeper_user"'),
        ({**HERE, "user": "a:b", "password": "p4ss"}, "colon"),
        ({**HERE, "user": "", "password": "p4ss"}, "empty"),
        ({**HERE, "prefix": "/"}, "root"),
        ({**HERE, "prefix": "/a//b"}, "path of a znode"),
        ({**HERE, "prefix": "/a/../b"}, "path of a znode"),
        ({**HERE, "prefix": "x" * 600}, "512"),
        ({**HERE, "timeout": 0}, "above 0"),
        ({**HERE, "timeout": "soon"}, "above 0"),
        ({**HERE, "timeout": 1e300}, "above 0"),
        ({**HERE, "ca_cert": "/nowhere.pem"}, "cannot read"),
        ({**HERE, "ca_cert": pytest.__file__}, "no whole CERTIFICATE"),
        ({**HERE, "ca_cert": 1}, "not int"),
        ({**HERE, "cert_cert": pytest.__file__}, "not a PEM|needs both"),
    ],
)
def test_refusals(given, says):
    """What cannot be right is refused by its name and a reason, and no password is in the text."""
    with pytest.raises(CredentialsError, match=says) as caught:
        parse(given)
    assert "p4ss" not in str(caught.value)


def test_a_key_without_its_certificate(tmp_path):
    """Half a client certificate is refused, and so is one that is none."""
    file = tmp_path / "x.pem"
    file.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(CredentialsError, match="needs both"):
        parse({**HERE, "cert_key": file})
    with pytest.raises(CredentialsError, match="not what TLS takes"):
        parse({**HERE, "ca_cert": file})


def test_nothing_secret_is_shown():
    """No repr has the password."""
    found = parse({**HERE, "user": "shop", "password": "p4ssw0rd"})
    assert "p4ssw0rd" not in repr(found)


def test_urls():
    """A URL's hosts stay together, and its path is one namespace."""
    assert ZookeeperBackend.url_credentials("a:1,b:2", "") == {"hosts": ["a:1", "b:2"]}
    with pytest.raises(CredentialsError, match="one part"):
        ZookeeperBackend.url_credentials("a:1", "/deeper")


def test_names_of_both_kinds():
    """Each short name has a long one of 2021."""
    assert set(SAME.values()) == {"zookeeper_host", "zookeeper_port", "zookeeper_user", "zookeeper_passwd"}
