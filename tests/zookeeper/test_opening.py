"""Opening: users and what they own, TLS and whom it trusts, several hosts, and what may not go over a network."""

from __future__ import annotations

import logging
import socket
import tempfile
from pathlib import Path

import pytest
from kazoo.client import KazooClient

import confo
from confo import (
    ANY,
    BackendUnavailable,
    CredentialsError,
    NamespaceNotFound,
    PermissionDenied,
    Write,
    plugins,
)
from confo_zookeeper import ZookeeperBackend
from confo_zookeeper.handler import log
from tests.etcd.certificates import Authority
from tests.servers import free_ports
from tests.zookeeper.servers import ZooServer


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """Return an authority for this run."""
    return Authority(tmp_path_factory.mktemp("zookeeper-certificates"), "ours")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory):
    """Return another authority."""
    return Authority(tmp_path_factory.mktemp("zookeeper-strangers"), "theirs")


@pytest.fixture(scope="session")
def encrypted(authority):
    """Give a server with a TLS port that asks for a client certificate."""
    tls = (*authority.sign("server"), authority.certificate)
    with ZooServer(tls=tls, client_certificate=True) as server:
        yield server


def test_the_class_is_found():
    """The kind "zookeeper" is this class, and a constant as in 2021."""
    assert plugins.load("zookeeper") is ZookeeperBackend
    assert confo.Backends.ZOOKEEPER_BACKEND == "zookeeper"


def test_credentials_of_2021(server, prefix, opening):
    """What was written in 2021 opens the store: host, port, user and password under their old names."""
    backend = opening(
        zookeeper_host="127.0.0.1",
        zookeeper_port=server.port,
        zookeeper_user="shop",
        zookeeper_passwd="secret",
        prefix=prefix,
    )
    backend.create_namespace("sales")
    assert backend.namespaces() == ["sales"]
    assert "secret" not in repr(backend)


def test_open_by_url(server):
    """A URL names the hosts and the namespace."""
    store = ZookeeperBackend.open({"hosts": server.host})
    if "by-url" not in store.namespaces():
        store.create_namespace("by-url")
    store.close()
    with confo.open(f"zookeeper://{server.host},{server.host}/by-url?timeout=5") as config:
        assert config.get_namespaces()["current_namespace"] == "by-url"


def test_a_users_znodes_are_his(server, prefix, opening):
    """What a user creates only he may touch: every znode has the ACL of its creator, never one for the world."""
    owner = opening(hosts=server.host, prefix=prefix, user="owner", password="right")
    owner.create_namespace("sales")
    owner.commit([Write("sales", "a", b"1", 0), Write(".history.sales", "1", b"{}", 0)])
    client = KazooClient(server.host, auth_data=[("digest", "owner:right")])
    client.start()
    below = [f"{prefix}/sales", f"{prefix}/sales/a", f"{prefix}/.history.sales", f"{prefix}/.history.sales/1", prefix]
    for path in below:
        (acl,) = client.get_acls(path)[0]
        assert (acl.id.scheme, acl.id.id.partition(":")[0], acl.perms) == ("digest", "owner", 31)
    client.stop()
    client.close()
    for other in (
        opening(hosts=server.host, prefix=prefix),
        opening(hosts=server.host, prefix=prefix, user="owner", password="wrong"),
    ):
        for call in (
            other.namespaces,
            lambda other=other: other.load("sales"),
            lambda other=other: other.commit([Write("sales", "a", b"2", ANY)]),
            lambda other=other: other.delete_namespace("sales"),
        ):
            with pytest.raises(PermissionDenied):
                call()
    assert owner.read("sales", ["a"])["a"].data == b"1"


def test_nothing_secret_is_logged(server, prefix, opening, caplog):
    """Whatever level is set, neither a password nor a value is in a log line; kazoo writes both at DEBUG."""
    log.setLevel(logging.NOTSET)
    logging.getLogger("kazoo").setLevel(logging.NOTSET)
    with caplog.at_level(1):
        backend = opening(hosts=server.host, prefix=prefix, user="owner", password="p4ssw0rd")
        backend.create_namespace("sales")
        backend.commit([Write("sales", "a", b"hunter2", 0)])
        backend.load("sales")
        backend.close()
    assert caplog.records, "the control: what kazoo says of connections is there"
    assert "hunter2" not in caplog.text
    assert "p4ssw0rd" not in caplog.text


# --- TLS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [str, Path.read_text, lambda path: path.read_text().replace("\n", "\\n")])
def test_mutual_tls(encrypted, authority, prefix, opening, form, tmp_path, monkeypatch):
    """With certificates on both sides everything works, a user's password included.

    They are paths, or the PEM texts themselves as an environment variable has them; of a text nothing stays on disk.
    """
    certificate, key = authority.sign("client")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    backend = opening(
        hosts=f"127.0.0.1:{encrypted.secure_port}",
        ca_cert=form(authority.certificate),
        cert_cert=form(certificate),
        cert_key=form(key),
        user="owner",
        password="right",
        prefix=prefix,
    )
    backend.create_namespace("sales")
    names = [f"n{number:03d}" for number in range(300)]
    revision = backend.commit([Write("sales", name, b"x" * 1000, 0) for name in names])
    assert len(backend.load("sales").entries) == 300
    assert not list(tmp_path.iterdir())
    watch = backend.watch("sales", revision)
    next(watch)
    backend.commit([Write("sales", name, b"y", ANY) for name in names])
    assert set(next(batch.entries for batch in watch if batch.entries)) == set(names)
    watch.close()


def test_answers_in_one_tls_record(encrypted, authority, prefix, opening):
    """Many answers that come in one TLS record are read at once, and not one a ping (the timeout fails the test)."""
    certificate, key = authority.sign("many")
    where = {"hosts": f"127.0.0.1:{encrypted.secure_port}", "prefix": prefix}
    backend = opening(**where, ca_cert=authority.certificate, cert_cert=certificate, cert_key=key)
    backend.create_namespace("sales")
    backend.commit([Write("sales", f"n{number:03d}", b"x", 0) for number in range(200)])
    backend._session.reads_many = False
    assert len(backend.load("sales").entries) == 200


@pytest.mark.parametrize("wrong", ["no client certificate", "a stranger's server", "a stranger's client", "plain"])
def test_wrong_certificates(encrypted, authority, stranger, prefix, opening, wrong):
    """Who does not trust the server, or is not trusted by it, is not connected, and told why where it is known."""
    certificate, key = (stranger if wrong == "a stranger's client" else authority).sign(f"client-{wrong[:3]}")
    trusted = (stranger if wrong == "a stranger's server" else authority).certificate
    given = {"ca_cert": trusted, "cert_cert": certificate, "cert_key": key}
    if wrong == "no client certificate":
        given = {"ca_cert": trusted}
    if wrong == "plain":
        given = {}
    with pytest.raises(BackendUnavailable, match="certificate" if "server" in wrong else "no connection"):
        opening(hosts=f"127.0.0.1:{encrypted.secure_port}", prefix=prefix, timeout=1.5, **given)


def test_a_name_that_is_not_the_servers(encrypted, authority, prefix, opening):
    """A certificate for another name is not taken, though its authority is trusted: kazoo alone would take it."""
    certificate, key = authority.sign("named")
    with pytest.raises(BackendUnavailable, match=r"[Hh]ostname|not valid for 'localhost'"):
        opening(
            hosts=f"localhost:{encrypted.secure_port}",
            ca_cert=authority.certificate,
            cert_cert=certificate,
            cert_key=key,
            timeout=1.5,
        )


# --- hosts ---------------------------------------------------------------------------------------


def test_nobody_there(prefix, opening):
    """Hosts that refuse are unavailable, and said to be, long before the timeout."""
    (port,) = free_ports(1)
    with pytest.raises(BackendUnavailable, match=f"127.0.0.1:{port}: Connection refused"):
        opening(hosts=f"127.0.0.1:{port}", timeout=3600)


def test_several_hosts(server, prefix, opening):
    """A dead and a deaf host beside the one that lives: it is found."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        hosts = [f"127.0.0.1:{free_ports(1)[0]}", f"127.0.0.1:{deaf.getsockname()[1]}", server.host]
        backend = opening(hosts=hosts, prefix=prefix, timeout=20)
        backend.create_namespace("sales")
        assert backend.namespaces() == ["sales"]


def test_identity(server, own_server, prefix, opening):
    """Two handles on one store name it alike, another server's store has another name, and an empty one has none."""
    one, two, other = (opening(hosts=host, prefix=prefix) for host in (server.host, server.host, own_server.host))
    assert one.identity == ""
    for backend in (one, other):
        backend.create_namespace("sales")
    for backend in (one, two, other):
        backend.load("sales")
    assert one.identity == two.identity != ""
    assert other.identity not in {"", one.identity}


def test_prefixes_do_not_mix(server, prefix, opening):
    """Two prefixes are two stores, and a prefix need not be there before."""
    one, two = (opening(hosts=server.host, prefix=f"{prefix}/deep/{name}/") for name in ("one", "two"))
    assert one.namespaces() == []
    one.create_namespace("sales")
    assert (one.namespaces(), two.namespaces()) == (["sales"], [])
    with pytest.raises(NamespaceNotFound, match="none exists yet"):
        two.load("sales")


def test_passwords_stay_on_this_machine():
    """A password is refused over a network in plain text, whichever of several hosts it would go to."""
    for hosts in ("10.0.0.1:2181", ["127.0.0.1:2181", "zoo.example.org:2181"]):
        with pytest.raises(CredentialsError, match="plain text") as caught:
            ZookeeperBackend.open({"hosts": hosts, "user": "a", "password": "p4ssw0rd"})
        assert "p4ssw0rd" not in str(caught.value)
