"""etcd's wire messages out of etcd3's sources."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from confo import PluginError
from confo_etcd.schema import complete, rename, schema


def run(code: str) -> str:
    """Run code in an interpreter of its own and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_fields_that_came_later():
    """The fields that etcd added after 2019 are there, under the numbers of etcd's own rpc.proto."""
    wire = schema()
    assert wire.WatchRequest(progress_request=wire.WatchProgressRequest()).SerializeToString() == b"\x1a\x00"
    create = wire.WatchCreateRequest(watch_id=5, fragment=True)
    assert create.SerializeToString() == b"\x38\x05\x40\x01"
    assert wire.WatchResponse(fragment=True).SerializeToString() == b"\x38\x01"


def test_requests_of_a_watch_exclude_each_other():
    """A watch request is one of its kinds, the added one included: setting it drops the other."""
    wire = schema()
    request = wire.WatchRequest(create_request=wire.WatchCreateRequest(key=b"k"))
    request.progress_request.SetInParent()
    assert request.WhichOneof("request_union") == "progress_request"


def test_completing_twice_changes_nothing():
    """A descriptor that has the later fields already is left as it is."""
    file = FileDescriptorProto(name="rpc.proto", package="p")
    for name in ("WatchRequest", "WatchCreateRequest", "WatchResponse"):
        file.message_type.add(name=name)
    complete(file)
    once = file.SerializeToString()
    complete(file)
    assert file.SerializeToString() == once


def test_names_are_our_own():
    """Files, messages and references are moved under our own package, nested ones included."""
    file = FileDescriptorProto(name="a.proto", package="p", dependency=["b.proto"])
    outer = file.message_type.add(name="Outer")
    outer.nested_type.add(name="Inner").field.add(name="x", number=1, type_name=".q.X")
    rename(file)
    assert (file.name, file.package, list(file.dependency)) == (
        "confo_etcd/a.proto",
        "confo_etcd.p",
        ["confo_etcd/b.proto"],
    )
    assert outer.nested_type[0].field[0].type_name == ".confo_etcd.q.X"
    assert schema().RangeRequest.DESCRIPTOR.full_name == "confo_etcd.etcdserverpb.RangeRequest"


def test_etcd3_is_not_imported():
    """Using the backend's class and its messages neither imports etcd3 nor touches the default pool."""
    assert run("""
        import sys
        from confo_etcd import EtcdBackend
        from confo_etcd.schema import schema
        schema().RangeRequest(key=b"k")
        from google.protobuf import descriptor_pool
        try:
            descriptor_pool.Default().FindFileByName("rpc.proto")
        except KeyError:
            print("untouched")
        print("etcd3" in sys.modules)
    """).split() == ["untouched", "False"]


def test_beside_another_etcd_library():
    """Another library's messages of the same names, in the default pool, before or after ours, do no harm."""
    for ours_first in (True, False):
        assert run(f"""
            def theirs():
                from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
                file = descriptor_pb2.FileDescriptorProto(name="rpc.proto", package="etcdserverpb", syntax="proto3")
                message = file.message_type.add(name="RangeRequest")
                message.field.add(name="quite_another", number=1, type=8, label=1)
                pool = descriptor_pool.Default()
                pool.Add(file)
                found = pool.FindMessageTypeByName("etcdserverpb.RangeRequest")
                return message_factory.GetMessageClass(found)(quite_another=True).SerializeToString()

            def ours():
                from confo_etcd.schema import schema
                return schema().RangeRequest(key=b"k").SerializeToString()

            first, second = (ours, theirs) if {ours_first} else (theirs, ours)
            print(sorted([first(), second()]))
        """).strip() == str(sorted([b"\x08\x01", b"\n\x01k"]))


def test_importing_is_light():
    """Importing the package and its plugin loads no driver and starts no thread."""
    assert run("""
        import sys, threading
        import confo_etcd, confo_etcd.plugin
        assert confo_etcd.plugin.confo_backend("memory") is None
        print("grpc" in sys.modules, "google.protobuf" in sys.modules, threading.active_count())
    """).split() == ["False", "False", "1"]


def test_plugin_gives_the_class():
    """The hook gives the backend's class for its own kind and nothing for another."""
    from confo_etcd import EtcdBackend
    from confo_etcd.plugin import confo_backend

    assert confo_backend("etcd") is EtcdBackend
    assert confo_backend("file") is None


def test_unknown_name_of_the_package():
    """Asking the package for what it has not is an AttributeError, as for any module."""
    with pytest.raises(AttributeError, match="no attribute 'Nope'"):
        importlib.import_module("confo_etcd").Nope  # noqa: B018


def test_a_fork_of_etcd3(tmp_path, monkeypatch):
    """A fork with modern generated code has no descriptors to read: one error says which etcd3 is needed."""
    folder = tmp_path / "etcd3" / "etcdrpc"
    folder.mkdir(parents=True)
    (tmp_path / "etcd3" / "__init__.py").write_text("raise AssertionError('executed')")
    (folder / "kv_pb2.py").write_text("DESCRIPTOR = pool.AddSerializedFile(b'\\n\\x08kv.proto')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match=r"no serialized descriptors.*pip install 'etcd3==0\.12\.\*'"):
        schema.__wrapped__()


@pytest.mark.parametrize("content", [None, "  serialized_pb=_b('unclosed)\n", "  serialized_pb=_b(open('x'))\n"])
def test_damaged_sources(tmp_path, monkeypatch, content):
    """Sources that are missing or damaged are named in the error, and never executed."""
    folder = tmp_path / "etcd3" / "etcdrpc"
    folder.mkdir(parents=True)
    (tmp_path / "etcd3" / "__init__.py").touch()
    if content is not None:
        (folder / "kv_pb2.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match=r"cannot read etcd's wire schema from .*kv_pb2\.py"):
        schema.__wrapped__()


def test_no_etcd3(monkeypatch):
    """Without etcd3 the error says what to install."""
    monkeypatch.setattr("confo_etcd.schema.find_spec", lambda name: None)
    with pytest.raises(PluginError, match="etcd3, whose wire schema confo-etcd uses, is not there: install"):
        schema.__wrapped__()
