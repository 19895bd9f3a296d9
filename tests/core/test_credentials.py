"""Reading credentials: what is taken in which form, and that nothing of a refused one is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confo import CredentialsError, CredentialsReader

NAMES = ("host", "port", "endpoints", "user", "password", "cert", "key", "timeout", "flag", "count")
KEY = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"


def reader(**credentials: object) -> CredentialsReader:
    """Return a reader of these credentials."""
    return CredentialsReader(credentials, "the test's backend", NAMES, {"pass": "password"})


READS = {
    "host": lambda r: r.address("host", "port", 1),
    "port": lambda r: r.address("host", "port", 1),
    "endpoints": lambda r: r.addresses("endpoints"),
    "user": lambda r: r.text("user"),
    "cert": lambda r: r.pem("cert", "CERTIFICATE"),
    "key": lambda r: r.pem("key", "PRIVATE KEY"),
    "timeout": lambda r: r.seconds("timeout", 5.0),
    "flag": lambda r: r.flag("flag", default=False),
    "count": lambda r: r.count("count", 1, "a number"),
}

texts = st.text(min_size=12) | st.from_regex(r"\w{9,}@[a-z]{3,9}:[0-9]{1,6}", fullmatch=True) | st.just(KEY)
values = st.one_of(
    texts, st.binary(min_size=12), st.lists(texts, min_size=1), st.dictionaries(texts, texts, min_size=1)
)


@given(name=st.sampled_from(sorted(READS)), value=values)
def test_nothing_of_a_refused_value_is_told(name, value):
    """Whatever is refused, the message has nothing of it, and no error behind it that would quote it."""
    beside = {"host": "127.0.0.1"} if name == "port" else {}
    error = None
    try:
        READS[name](reader(**beside, **{name: value}))
    except CredentialsError as refused:
        error = refused
    if error is not None:
        for part in [value] if isinstance(value, str | bytes) else list(value):
            assert (part if isinstance(part, str) else part.decode("latin-1")) not in str(error)
        assert error.__context__ is None
        assert error.__cause__ is None


@given(
    host=st.sampled_from(["127.0.0.1", "::1", "etcd", "etcd.example", "fe80::1", "münchen.example", "a_b"]),
    port=st.integers(1, 65535),
)
def test_addresses_are_the_same_however_written(host, port):
    """A host and a port, alone, in a list or in a text with commas, are one address; IPv6 stands in brackets."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    assert reader(host=host, port=port).address("host", "port", 1) == address
    assert reader(host=host, port=str(port)).address("host", "port", 1) == address
    assert reader(endpoints=[address, address]).addresses("endpoints") == (address,)
    assert reader(endpoints=f"{address}, other:1").addresses("endpoints") == (address, "other:1")


@pytest.mark.parametrize("port", [0, -1, 65536, 2379.0, True, "", "x", "1e3", "inf", None, [1]])
def test_ports_that_are_none(port):
    """A port is a whole number in the range of ports; a text of one will do, and None is the default."""
    if port is None:
        assert reader(host="h", port=None).address("host", "port", 7) == "h:7"
        return
    with pytest.raises(CredentialsError, match='"port": the port is a number from 1 to 65535'):
        reader(host="h", port=port).address("host", "port", 1)


def test_pem_texts(tmp_path):
    """A PEM file is given by its path or as its text, also with the line breaks of a .env file."""
    path = tmp_path / "key.pem"
    path.write_text(KEY)
    for form in (path, str(path), KEY, KEY.encode(), KEY.strip().replace("\n", "\\n")):
        content = reader(key=form).pem("key", "PRIVATE KEY")
        assert content is not None
        assert content.decode().split() == KEY.split()
    with pytest.raises(CredentialsError, match="no whole CERTIFICATE"):
        reader(cert=KEY).pem("cert", "CERTIFICATE")
    with pytest.raises(CredentialsError, match="no whole PRIVATE KEY"):
        reader(key=KEY[:40]).pem("key", "PRIVATE KEY")
    with pytest.raises(CredentialsError, match="has a passphrase"):
        reader(key=KEY.replace("PRIVATE", "ENCRYPTED PRIVATE")).pem("key", "PRIVATE KEY")
    with pytest.raises(CredentialsError, match="it is no file"):
        reader(key=tmp_path).pem("key", "PRIVATE KEY")


def test_names():
    """A misspelt name gets a hint; what is no name is not shown; a short name and its long one are one credential."""
    with pytest.raises(CredentialsError, match='knows no credential "usr": did you mean "user"'):
        reader(usr="x")
    for odd in ("hunter2 S3CRET", 7, "x" * 50):
        with pytest.raises(CredentialsError, match="no credential of this name") as caught:
            CredentialsReader({odd: "x"}, "the test's backend", NAMES)  # type: ignore[dict-item]
        assert str(odd) not in str(caught.value)
    short = CredentialsReader({"pass": "x"}, "the test's backend", (*NAMES, "pass"), {"pass": "password"})
    assert short.text("password") == "x"
    assert short.called("password") == '"pass"'
    with pytest.raises(CredentialsError, match="twice"):
        CredentialsReader({"pass": "x", "password": "x"}, "the test's backend", (*NAMES, "pass"), {"pass": "password"})


def test_nothing_is_in_the_repr():
    """A reader shows which credentials were given, never what they are."""
    assert repr(reader(password="hunter2")) == "<CredentialsReader of the test's backend's credentials: password>"
