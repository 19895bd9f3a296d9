"""A secret in any credential, of any backend, in any form, is in nothing that a program or a person gets to see."""

from __future__ import annotations

import logging
import traceback
import uuid
from pathlib import Path

import pytest

import confo
from confo import Confo, ConfoError, CredentialsError, plugins

SECRET, NUMBER = "hunter2-S3CRET", 918273645
"""What is looked for; the number stands where a number is expected."""
TRACES = (SECRET, str(NUMBER))
OURS = ("etcd", "file", "memory", "zookeeper")
PLACES = {"host", "hosts", "endpoints", "zookeeper_host", "prefix", "config_path", "store"}
"""Once it is taken for what it should be, the name of a place stands in messages: who reads them must know where."""


class Quoting:
    """An object that nobody expects, which shows what is in it."""

    def __repr__(self) -> str:
        return SECRET


def pem(label: str) -> str:
    """Return what looks like a PEM text, with the secret in it."""
    return f"-----BEGIN {label}-----\n{SECRET}\n-----END {label}-----\n"


FORMS = {
    "a word": SECRET,
    "a number": NUMBER,
    "a float": float(NUMBER),
    "bytes": SECRET.encode(),
    "a path": Path("/nowhere") / SECRET,
    "a long text": SECRET * 3000,
    "with a NUL": f"{SECRET}\0",
    "with a line break": f"{SECRET}\n{SECRET}",
    "a user before a host": f"root:{SECRET}@127.0.0.1",
    "behind a port": f"127.0.0.1:2379:{SECRET}",
    "a port": f"127.0.0.1:{SECRET}",
    "a URL": f"https://{SECRET}/x",
    "a key": pem("PRIVATE KEY"),
    "an encrypted key": pem("ENCRYPTED PRIVATE KEY"),
    "a certificate": pem("CERTIFICATE"),
    "half a key": f"-----BEGIN PRIVATE KEY-----\n{SECRET}",
    "a list": [SECRET],
    "a list of ports": [f"127.0.0.1:{SECRET}", f"{SECRET}@h:1"],
    "a dict": {SECRET: SECRET},
    "an object": Quoting(),
}


@pytest.fixture
def valid(closed_port, tmp_path):
    """Return credentials that are right, of a server that is not there."""
    server = {"host": "127.0.0.1", "port": closed_port, "timeout": 0.2}
    return {"etcd": server, "zookeeper": server, "file": {"config_path": tmp_path}, "memory": {}}


@pytest.fixture
def seen(caplog, capfd):
    """Return a function that gives all that was to be seen, beside what is handed to it."""
    caplog.set_level(logging.DEBUG)

    def everything(*others: str) -> str:
        printed = capfd.readouterr()
        shown = "\n".join((*others, caplog.text, printed.out, printed.err))
        caplog.clear()
        return shown

    return everything


def told(error: BaseException) -> str:
    """Return all that an error and those that led to it show, whether Python would print them or not."""
    texts, todo, done = [], [error], set()
    while todo:
        one = todo.pop()
        if id(one) not in done:
            done.add(id(one))
            texts += [str(one), repr(one), *traceback.format_exception(one), *map(repr, vars(one).values())]
            todo += [other for other in (one.__cause__, one.__context__) if other is not None]
    return "\n".join(texts)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", OURS)
def test_credentials(kind, form, valid, seen):
    """Each credential of each kind, given the secret in each form: neither refused nor taken is it to be seen."""
    names = plugins.load(kind).credential_names
    assert names
    for name in names:
        beside = {"user": "shop", "password": "right"} if name in {"cert_cert", "cert_key", "ca_cert"} else {}
        text, refused = attempt(
            kind, {**without_twins(valid[kind], name), **beside, **partners(name), name: FORMS[form]}
        )
        shown = seen(text)
        if name in PLACES and (not refused or "there is no folder" in text):
            continue
        for trace in TRACES:
            assert trace not in shown, f"{name} of {kind}, as {form}"


def attempt(kind: str, credentials: dict[str, object]) -> tuple[str, bool]:
    """Do with these credentials what a program does; return all that it sees of it, and whether they were refused."""
    texts, refused = [], False
    config = Confo(uuid.uuid4().hex)
    try:
        config.load_backend(credentials, "store", kind)
        config.activate_backend("store")
        texts += [repr(config), repr(config._active.backend), str(config.health())]
        config.create_namespace("sales")
        config.use_namespace("sales")
        texts += [repr(config.namespace("sales")), str(config.health())]
    except ConfoError as error:
        texts.append(told(error))
        refused = isinstance(error, CredentialsError)
    finally:
        config.close()
    return "\n".join(texts), refused


def without_twins(credentials: dict[str, object], name: str) -> dict[str, object]:
    """Leave out what may not stand beside this credential."""
    twins = {"endpoints": {"host", "port"}, "hosts": {"host", "port"}, "zookeeper_host": {"host"}}
    return {
        key: value
        for key, value in credentials.items()
        if key not in twins.get(name, {name.removeprefix("zookeeper_")})
    }


def partners(name: str) -> dict[str, object]:
    """Return what has to stand beside this credential."""
    pairs = {
        "user": ("password", "p"),
        "password": ("user", "u"),
        "zookeeper_user": ("password", "p"),
        "zookeeper_passwd": ("user", "u"),
        "cert_cert": ("cert_key", pem("PRIVATE KEY").replace(SECRET, "AAAA")),
        "cert_key": ("cert_cert", pem("CERTIFICATE").replace(SECRET, "AAAA")),
    }
    return dict([pairs[name]]) if name in pairs else {}


@pytest.mark.parametrize(
    "url",
    [
        f"etcd://127.0.0.1:2379:{SECRET}/sales",
        f"etcd://127.0.0.1:{SECRET}/sales",
        f"etcd://root:{SECRET}/x@127.0.0.1/sales",
        f"etcd://root:{SECRET}@127.0.0.1/a/b/sales",
        f"etcd://root:{SECRET}@/sales",
        f"etcd://[{SECRET}/sales",
        f"etcd://{SECRET}\u2100/sales",
        f"etcd://127.0.0.1/sales?{SECRET}",
        f"etcd://127.0.0.1/sales?password={SECRET}",
        f"etcd://127.0.0.1/sales?timeout={SECRET}",
        f"etcd://127.0.0.1/sales#{SECRET}",
        f"zookeeper://127.0.0.1:1,127.0.0.2:{SECRET}/sales",
        f"zookeeper://root:{SECRET}@127.0.0.1:1,127.0.0.2:x/sales",
        f"zookeeper://127.0.0.1/{SECRET}/sales",
        f"memory://store/{SECRET}/sales",
        f"memory:///sales?history={SECRET}",
        f"file://{SECRET}/sales",
        f"file:///tmp/sales?create={SECRET}",
        f"127.0.0.1:{SECRET}",
        f"{SECRET}@127.0.0.1",
    ],
)
def test_urls(url, seen):
    """A URL that is wrong anywhere is not quoted, neither as a whole nor in part."""
    with pytest.raises(ConfoError) as caught:
        confo.open(url)
    assert SECRET not in seen(told(caught.value))


def test_it_would_be_seen(seen):
    """The control: a message, a log line, an attribute, or an error far back in the chain that quotes it is found."""
    logging.getLogger("anything").debug("%s", SECRET)
    assert SECRET in seen()
    with pytest.raises(CredentialsError) as caught:
        quote_it_in_the_context()
    assert SECRET in told(caught.value)
    assert SECRET in told(confo.errors.TooStale("", namespace=SECRET))


def quote_it_in_the_context() -> None:
    """Raise as the credentials' reader must not: Python keeps the error of ``int`` beside ours."""
    try:
        int(SECRET)
    except ValueError:
        raise CredentialsError("not a number") from None
