"""Opening a cluster: endpoints, versions, TLS and users."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

import confo
from confo import (
    AuthenticationFailed,
    BackendUnavailable,
    OutcomeUnknown,
    PermissionDenied,
    UnsupportedServer,
    Write,
)
from confo_etcd.connection import Connection
from confo_etcd.credentials import parse
from confo_etcd.schema import schema
from tests.etcd.certificates import Authority
from tests.etcd.told import news
from tests.servers import EtcdServer, etcd_binary, free_ports

# --- endpoints -----------------------------------------------------------------------------------


def test_nobody_there(opening):
    """With nobody at the endpoints opening fails at once, and every endpoint is named."""
    ports = free_ports(2)
    endpoints = [f"127.0.0.1:{port}" for port in ports]
    with pytest.raises(
        BackendUnavailable, match=f"cannot open the store: no answer from etcd at {', '.join(endpoints)}"
    ):
        opening(endpoints=endpoints)


def test_somebody_who_never_answers(opening):
    """An endpoint that takes connections and never answers costs the timeout, once, and no more."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(BackendUnavailable, match=f"etcd at 127.0.0.1:{port}"):
            opening(host="127.0.0.1", port=port, timeout=1)
        assert time.monotonic() - began < 5


def test_a_name_that_does_not_exist(opening):
    """A host that cannot be found is an unavailable backend."""
    with pytest.raises(BackendUnavailable, match=r"nowhere\.invalid:2379"):
        opening(host="nowhere.invalid", timeout=2)


def test_failover(server, prefix, opening):
    """A dead and a deaf endpoint before the one that lives: reads and commits go to the one that lives."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        dead, silent = free_ports(1)[0], deaf.getsockname()[1]
        endpoints = [f"127.0.0.1:{dead}", f"127.0.0.1:{silent}", server.endpoint]
        backend = opening(endpoints=endpoints, prefix=prefix, timeout=3)
        backend.create_namespace("sales")
        revision = backend.commit([Write("sales", "a", b"1", 0)])
        assert backend.load("sales").entries["a"].revision == revision


def test_failover_when_one_dies(server, own_server, prefix, opening):
    """When the endpoint in use dies, the next one is asked, within the same call."""
    backend = opening(endpoints=[own_server.endpoint, server.endpoint], prefix=prefix)
    own_server.kill()
    backend.create_namespace("sales")
    assert backend.namespaces() == ["sales"]


def test_a_server_that_comes_back(own_server, opening):
    """After the server's death calls fail as unavailable, a commit too as it was never sent; later they work."""
    backend = opening(host="127.0.0.1", port=own_server.port)
    backend.create_namespace("sales")
    own_server.kill()
    for call in (backend.namespaces, lambda: backend.commit([Write("sales", "a", b"1", 0)])):
        with pytest.raises(BackendUnavailable, match=own_server.endpoint):
            call()
    own_server.start()
    deadline = time.monotonic() + 10
    while True:
        try:
            backend.commit([Write("sales", "a", b"1", 0)])
            break
        except BackendUnavailable:  # gRPC waits up to a second between its attempts
            assert time.monotonic() < deadline
    assert "a" in backend.load("sales").entries


def test_a_commit_without_an_answer(own_server, opening):
    """A commit that was sent to a server which then hangs is of unknown outcome, and the next was never sent."""
    backend = opening(host="127.0.0.1", port=own_server.port, timeout=1)
    backend.create_namespace("sales")
    write = Write("sales", "a", b"1", 0)
    own_server.pause()
    with pytest.raises(OutcomeUnknown, match="commit to namespace 'sales': it may or may not have happened"):
        backend.commit([write])
    with pytest.raises(BackendUnavailable, match="commit to namespace 'sales'"):
        backend.commit([write])
    own_server.resume()
    assert set(backend.load("sales").entries) <= {"a"}


# --- versions ------------------------------------------------------------------------------------


def served(version: str) -> tuple[grpc.Server, int]:
    """Start a server that says it is etcd of this version, and nothing else."""
    wire = schema()
    status = grpc.unary_unary_rpc_method_handler(
        lambda request, context: wire.StatusResponse(version=version),
        request_deserializer=wire.StatusRequest.FromString,
        response_serializer=wire.StatusResponse.SerializeToString,
    )
    pool = ThreadPoolExecutor(2)
    server = grpc.server(pool)
    handlers = grpc.method_handlers_generic_handler("etcdserverpb.Maintenance", {"Status": status})
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


@pytest.mark.parametrize(("version", "shown"), [("3.3.27", "3.3.27"), ("", "unknown")])
@pytest.mark.allow_leaks(reason="gRPC's server ends its own threads when it likes")
def test_too_old(opening, version, shown):
    """A server that is too old, or tells no version, is refused by its version, not by an odd failure later."""
    server, port = served(version)
    try:
        with pytest.raises(UnsupportedServer, match=f"is version {shown}, and confo-etcd needs 3.4.0 or later"):
            opening(host="127.0.0.1", port=port)
    finally:
        server.stop(None).wait(5)


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Give a certificate authority."""
    return Authority(tmp_path_factory.mktemp("certificates"), "authority")


@pytest.fixture(scope="module")
def tls_server(label, authority):
    """Give a server that speaks TLS and wants to see a client certificate."""
    certificate, key = authority.sign("server")
    tls = (certificate, key, authority.certificate)
    with EtcdServer(etcd_binary(label), tls=tls, client_certificate=True) as server:
        yield server


def test_tls(label, authority, opening):
    """With the authority's certificate a server that speaks TLS is trusted."""
    certificate, key = authority.sign("server")
    with EtcdServer(etcd_binary(label), tls=(certificate, key, authority.certificate)) as server:
        backend = opening(host="127.0.0.1", port=server.port, ca_cert=authority.certificate)
        backend.create_namespace("sales")
        revision = backend.commit([Write("sales", "a", b"1", 0)])
        assert news(backend.watch("sales", revision - 1)).revision == revision


@pytest.mark.parametrize("form", [str, Path.read_text, Path.read_bytes])
def test_mutual_tls(tls_server, authority, opening, form):
    """With a client certificate, given by paths or as PEM texts, a server that asks for one is satisfied."""
    certificate, key = authority.sign("client")
    backend = opening(
        host="127.0.0.1",
        port=tls_server.port,
        ca_cert=form(authority.certificate),
        cert_cert=form(certificate),
        cert_key=form(key),
    )
    assert backend.namespaces() == []


def test_mutual_tls_without_a_certificate(tls_server, authority, opening):
    """Without a client certificate the handshake fails, which is an unavailable backend."""
    with pytest.raises(BackendUnavailable, match=tls_server.endpoint):
        opening(host="127.0.0.1", port=tls_server.port, ca_cert=authority.certificate, timeout=2)


def test_an_unknown_authority(tls_server, tmp_path, opening):
    """A server that another authority vouches for is not trusted."""
    stranger = Authority(tmp_path, "stranger")
    with pytest.raises(BackendUnavailable, match=tls_server.endpoint):
        opening(host="127.0.0.1", port=tls_server.port, ca_cert=stranger.certificate, timeout=2)


def test_plain_text_to_tls(tls_server, opening):
    """Plain text at a server that speaks TLS is an unavailable backend, and no endless wait."""
    with pytest.raises(BackendUnavailable, match=tls_server.endpoint):
        opening(host="127.0.0.1", port=tls_server.port, timeout=2)


# --- users ---------------------------------------------------------------------------------------

ROOT = {"user": "root", "password": "hunter2"}
READER = {"user": "reader", "password": "letmein"}


@pytest.fixture(scope="module")
def auth_server(label):
    """Give a server with users: root, and one who may read only the namespace "sales"."""
    with EtcdServer(etcd_binary(label)) as server:
        protect(server)
        yield server


def protect(server: EtcdServer) -> None:
    """Make users and switch authentication on."""
    server.ctl("user", "add", "root:hunter2")
    server.ctl("user", "grant-role", "root", "root")
    server.ctl("user", "add", "reader:letmein")
    server.ctl("role", "add", "sales")
    server.ctl("role", "grant-permission", "sales", "read", "/confo/sales/", "/confo/sales0")
    server.ctl("user", "grant-role", "reader", "sales")
    server.ctl("put", "/confo/sales/database", "{}")
    server.ctl("put", "/confo/analytics/database", "{}")
    server.ctl("auth", "enable")


def test_a_user(auth_server, opening):
    """With the right password everything works, the watch included."""
    backend = opening(host="127.0.0.1", port=auth_server.port, **ROOT)
    assert backend.namespaces() == ["analytics", "sales"]
    assert news(backend.watch("sales", 0)).entries.keys() == {"database"}


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_a_wrong_password(auth_server, opening, user):
    """A wrong password or user is refused as such, with advice, and the password is nowhere in the error."""
    with pytest.raises(AuthenticationFailed, match='check the credentials "user" and "password"') as caught:
        opening(host="127.0.0.1", port=auth_server.port, user=user, password="wrong-one")
    assert "wrong-one" not in repr(caught.value) + repr(caught.value.__cause__)


def test_no_user_where_one_is_needed(auth_server, opening):
    """A server that asks who it is gets the answer that nobody was given: the credentials say what to give."""
    with pytest.raises(AuthenticationFailed, match='asks who it is: give "user" and "password"'):
        opening(host="127.0.0.1", port=auth_server.port)


def test_a_missing_role(auth_server, opening):
    """A user may open and use what his role allows; the rest is refused naming what was asked for."""
    backend = opening(host="127.0.0.1", port=auth_server.port, **READER)
    assert set(backend.load("sales").entries) == {"database"}
    assert news(backend.watch("sales", 0)).entries.keys() == {"database"}
    for call, asked in [
        (lambda: backend.load("analytics"), "load namespace 'analytics'"),
        (lambda: news(backend.watch("analytics", 0)), "watch namespace 'analytics'"),
        (lambda: backend.commit([Write("sales", "a", b"1", 0)]), "commit to namespace 'sales'"),
        (backend.namespaces, "list the namespaces under '/confo/'"),
    ]:
        with pytest.raises(PermissionDenied, match=f"cannot {asked}") as caught:
            call()
        assert type(caught.value) is PermissionDenied


def test_the_roles_of_the_readme(auth_server):
    """With the permissions that README lists, and no others, a program creates, commits, follows and looks back."""
    root = {"user": "root:hunter2"}
    auth_server.ctl("user", "add", "clerk:letmein", **root)
    auth_server.ctl("role", "add", "shop", **root)
    for namespace in ("shop", ".history.shop"):
        range_ = ("readwrite", "--prefix=true", f"/confo/{namespace}/")
        auth_server.ctl("role", "grant-permission", "shop", *range_, **root)
    auth_server.ctl("user", "grant-role", "clerk", "shop", **root)
    url = f"etcd://clerk:letmein@127.0.0.1:{auth_server.port}/shop"
    with confo.connect(url, create=True) as shop, confo.connect(url) as other:
        shop.set("database", "host", "127.0.0.1")
        commit = shop.persist(message="the first")
        assert commit is not None
        assert other.wait_for(commit.revision)
        assert other.get("database", "host") == "127.0.0.1"
        assert [one.message for one in other.history()] == ["the first"]


def test_a_user_where_none_is_needed(server, prefix, opening):
    """A server without authentication is used without a token, as etcd's own client does."""
    backend = opening(host="127.0.0.1", port=server.port, prefix=prefix, **ROOT)
    assert backend.namespaces() == []


def test_authentication_switched_on_later(own_server, opening):
    """When the server begins to ask for users, a backend that has one goes on."""
    backend = opening(host="127.0.0.1", port=own_server.port, **ROOT)
    protect(own_server)
    assert set(backend.load("sales").entries) == {"database"}
    watch = backend.watch("sales", 0)
    assert news(watch).entries.keys() == {"database"}


def test_tokens_that_the_server_forgot(own_server, opening):
    """A token that is no longer accepted is renewed within the call, for reads, commits and watches."""
    protect(own_server)
    backends = [opening(host="127.0.0.1", port=own_server.port, **ROOT) for _ in range(3)]
    tokens = [backend._session._process().token for backend in backends]
    own_server.ctl("auth", "disable", user="root:hunter2")  # which forgets all tokens; a restart does not, on 3.4
    own_server.ctl("auth", "enable")
    reading, committing, watching = backends
    assert set(reading.load("sales").entries) == {"database"}
    committing.commit([Write("sales", "a", b"1", 0)])
    assert news(watching.watch("sales", 0)).entries.keys() == {"database"}
    assert all(
        backend._session._process().token not in (None, token) for backend, token in zip(backends, tokens, strict=True)
    )


def test_tokens_that_expire(label, opening):
    """A token that was not used for its time to live is renewed."""
    if label == "etcd-3.4":
        pytest.skip("its tokens live for five minutes: --auth-token-ttl came with 3.5")
    with EtcdServer(etcd_binary(label), arguments=["--auth-token-ttl=1"]) as server:
        protect(server)
        backend = opening(host="127.0.0.1", port=server.port, **ROOT)
        wait_until_refused(server, backend._session._process().token)
        assert backend.namespaces() == ["analytics", "sales"]


def wait_until_refused(server: EtcdServer, token: str) -> None:
    """Use a token more and more seldom, as each use prolongs it, until the server does not accept it."""
    connection = Connection(server.endpoint, parse({"host": "127.0.0.1", "port": server.port}))
    never = threading.Event()
    for seconds in (1.5, 2.5, 4.0):
        never.wait(seconds)
        with suppress(grpc.RpcError):
            connection.call("Range", schema().RangeRequest(key=b"/"), 5, (("token", token),))
            continue
        break
    else:
        pytest.fail("the token never expired")
    connection.close()
