"""Credentials: what is taken, and what every wrong one is answered with."""

from __future__ import annotations

import pytest

from confo import CredentialsError
from confo_etcd.credentials import parse

HOST = {"host": "127.0.0.1"}
TAKES = "It takes host, port, endpoints, user, password, ca_cert, cert_cert, cert_key, prefix, timeout, insecure"


def test_defaults():
    """A host is all that is needed: port 2379, prefix /confo/, 5 seconds, plaintext, nobody."""
    credentials = parse(HOST)
    assert credentials.endpoints == ("127.0.0.1:2379",)
    assert (credentials.prefix, credentials.timeout) == ("/confo/", 5.0)
    assert (credentials.user, credentials.password, credentials.tls) == (None, None, False)


@pytest.mark.parametrize(
    ("given", "endpoints"),
    [
        ({"host": "etcd.example", "port": 1}, ("etcd.example:1",)),
        ({"host": "etcd.example", "port": "2380"}, ("etcd.example:2380",)),
        ({"host": "::1"}, ("[::1]:2379",)),
        ({"host": "h", "port": None, "endpoints": None}, ("h:2379",)),
        ({"endpoints": ["a:1", "b:2", "a:1"]}, ("a:1", "b:2")),
        ({"endpoints": ("[::1]:5",)}, ("[::1]:5",)),
    ],
)
def test_endpoints(given, endpoints):
    """A host with its port, or several endpoints, each once and in order; None is as if not given."""
    assert parse(given).endpoints == endpoints


@pytest.mark.parametrize("prefix", ["/apps", "/apps/", "/apps//"])
def test_prefix_ends_in_one_slash(prefix):
    """A prefix ends in one slash, however it was written."""
    assert parse({**HOST, "prefix": prefix}).prefix == "/apps/"


BAD = [
    ({}, 'the etcd backend needs the credential "host", or "endpoints" for several servers'),
    ({"hots": "x"}, f'the etcd backend knows no credential "hots": did you mean "host"? {TAKES}'),
    ({"zzz": "x"}, f'the etcd backend knows no credential "zzz". {TAKES}'),
    ({"host": 5}, 'credential "host" is a str, not int'),
    ({"host": ""}, 'credential "host" is empty or has a NUL'),
    (
        {"host": "127.0.0.1:2379"},
        'credential "host" is not a host, but a text of 14 characters; the port has a credential of its own, "port"',
    ),
    (
        {"host": "http://etcd"},
        'credential "host" is a URL: give the host alone',
    ),
    (
        {"host": "kabelo:hunter2@etcd"},
        'credential "host" has a user or a password in it: give them as "user" and "password", and the host alone here',
    ),
    (
        {"endpoints": ["https://kabelo:hunter2@etcd:1"]},
        (
            'credential "endpoints", item 1 has a user or a password in it: give them as "user" and "password", and '
            "the host alone here"
        ),
    ),
    ({**HOST, "port": "http"}, 'credential "port": the port is a number from 1 to 65535, not a text of 4 characters'),
    ({**HOST, "port": 0}, 'credential "port": the port is a number from 1 to 65535, not one out of that range'),
    ({**HOST, "port": 65536}, 'credential "port": the port is a number from 1 to 65535, not one out of that range'),
    ({**HOST, "port": True}, 'credential "port": the port is a number from 1 to 65535, not bool'),
    ({**HOST, "port": 2379.0}, 'credential "port": the port is a number from 1 to 65535, not float'),
    (
        {"host": None},
        (
            'credential "host" is None (an environment variable that is not set?); the etcd backend needs it, or '
            '"endpoints" for several servers'
        ),
    ),
    (
        {**HOST, "user": "kabelo", "password": None},
        (
            'credential "user" is given without "password", which is None (an environment variable that is not set?): '
            "give both or neither"
        ),
    ),
    ({**HOST, "endpoints": ["a:1"]}, 'credentials "endpoints" and "host" are both given: give one of them'),
    ({"port": 1, "endpoints": ["a:1"]}, 'credentials "endpoints" and "port" are both given: give one of them'),
    ({"endpoints": "a"}, 'credential "endpoints", item 1 is not of the form "host:port", for example "10.0.0.1:2379"'),
    ({"endpoints": 5}, 'credential "endpoints" is a list of "host:port", not int'),
    ({"endpoints": [("a", 1)]}, 'credential "endpoints", item 1 is a "host:port", not tuple'),
    ({"endpoints": []}, 'credential "endpoints" is empty: give at least one "host:port"'),
    (
        {"endpoints": ["a:1", "a"]},
        'credential "endpoints", item 2 is not of the form "host:port", for example "10.0.0.1:2379"',
    ),
    ({"endpoints": ["http://a:1"]}, 'credential "endpoints", item 1 is a URL: give the host alone'),
    (
        {"endpoints": ["a:b"]},
        'credential "endpoints", item 1: the port is a number from 1 to 65535, not a text of 1 character',
    ),
    ({**HOST, "user": "kabelo"}, 'credential "user" is given without "password": give both or neither'),
    ({**HOST, "password": "hunter2"}, 'credential "password" is given without "user": give both or neither'),
    ({**HOST, "user": "kabelo", "password": 5}, 'credential "password" is a str, not int'),
    ({**HOST, "cert_cert": "a"}, 'credential "cert_cert" is given without "cert_key": a client certificate needs both'),
    ({**HOST, "cert_key": "a"}, 'credential "cert_key" is given without "cert_cert": a client certificate needs both'),
    ({**HOST, "ca_cert": 5}, 'credential "ca_cert" is the path of a PEM file, or its text, not int'),
    (
        {**HOST, "ca_cert": "/nowhere/ca.pem"},
        (
            'credential "ca_cert": cannot read the file of this path (a text of 15 characters): No such file or '
            "directory; give the path of a PEM file, or its text, which begins with -----BEGIN"
        ),
    ),
    (
        {**HOST, "ca_cert": "/dev/null"},
        (
            'credential "ca_cert": cannot read the file of this path (a text of 9 characters): it is no file; give the '
            "path of a PEM file, or its text, which begins with -----BEGIN"
        ),
    ),
    ({**HOST, "prefix": ""}, 'credential "prefix" is empty or has a NUL'),
    ({**HOST, "prefix": b"/x/"}, 'credential "prefix" is a str, not 3 bytes'),
    ({**HOST, "prefix": "/a\nb/"}, 'credential "prefix" has characters that cannot be printed'),
    ({**HOST, "timeout": 0}, 'credential "timeout" is a number of seconds above 0, not int'),
    ({**HOST, "timeout": "soon"}, 'credential "timeout" is a number of seconds above 0, not a text of 4 characters'),
    ({**HOST, "timeout": float("inf")}, 'credential "timeout" is a number of seconds above 0, not float'),
    ({**HOST, "timeout": float("nan")}, 'credential "timeout" is a number of seconds above 0, not float'),
    ({**HOST, "timeout": True}, 'credential "timeout" is a number of seconds above 0, not bool'),
    ({**HOST, "timeout": [5]}, 'credential "timeout" is a number of seconds above 0, not list'),
    ({**HOST, "insecure": "yes"}, 'credential "insecure" is True or False, not a text of 3 characters'),
    (
        {"endpoints": ["127.0.0.1:1", "etcd.example:2379"], "user": "kabelo", "password": "hunter2"},
        (
            'the password would go to etcd.example:2379 in plain text: give "ca_cert" to use TLS, '
            'or "insecure": True if that network is to be trusted'
        ),
    ),
]


@pytest.mark.parametrize(("given", "message"), BAD, ids=range(len(BAD)))
def test_bad_credentials(given, message):
    """Each wrong credential is refused by name, with what is wrong and what would be right, and no password."""
    with pytest.raises(CredentialsError) as caught:
        parse(given)
    assert str(caught.value) == message
    assert "hunter2" not in repr(caught.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1"])
def test_password_to_this_machine(host):
    """A password may go to this machine in plain text."""
    assert parse({"host": host, "user": "kabelo", "password": "hunter2"}).password == "hunter2"


def test_password_over_a_trusted_network():
    """A password may go over a network in plain text if that was asked for in so many words."""
    given = {"host": "etcd.example", "user": "kabelo", "password": "hunter2", "insecure": True}
    assert parse(given).user == "kabelo"


def test_no_secret_in_the_repr(tmp_path):
    """Neither a password nor a key is shown."""
    pem = tmp_path / "any.pem"
    pem.write_text(
        "".join(f"-----BEGIN {label}-----\nSECRET\n-----END {label}-----\n" for label in ("CERTIFICATE", "PRIVATE KEY"))
    )
    files = dict.fromkeys(("ca_cert", "cert_cert", "cert_key"), pem)
    credentials = parse({"host": "etcd.example", "user": "kabelo", "password": "hunter2", **files})
    assert credentials.tls
    assert "kabelo" in repr(credentials)
    assert "hunter2" not in repr(credentials)
    assert "SECRET" not in repr(credentials)
