"""etcd's wire messages, built from the descriptors that the etcd3 distribution carries.

etcd3's generated code of 2019 cannot be imported on protobuf 4 and later ("Descriptors cannot be created
directly"), yet each of its files holds the serialized descriptor that the code was generated from. That
literal is read from the source, nothing of it is executed, and the messages are built in a descriptor pool
of our own under names of our own: so they live beside any other etcd library in the same process, as gRPC
goes by the method's path and never by the name of a message.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from confo import PluginError

Message: TypeAlias = Any
"""A message, or the namespace of their classes: built while running, so no checker can know its fields."""

_FILES = ("kv", "auth", "rpc")  # in the order in which they import each other
_LITERAL = re.compile(r"^\s*serialized_pb=_b\((.*)\),?$", re.MULTILINE)
_ROOT = "confo_etcd"
_NEEDED = "install the distribution etcd3 0.12 (pip install 'etcd3==0.12.*'), and no fork of it"


@cache
def schema() -> Message:
    """Return the message classes of etcd's API as attributes: ``schema().RangeRequest``.

    Raises PluginError, which names the distribution that is needed, if the descriptors are not found.
    """
    pool = DescriptorPool()
    classes: dict[str, Any] = {}
    for stem in _FILES:
        file = FileDescriptorProto.FromString(_descriptor(stem))
        if stem == "rpc":
            complete(file)
        rename(file)
        pool.Add(file)
        for name, message in pool.FindFileByName(file.name).message_types_by_name.items():
            classes[name] = GetMessageClass(message)
    return SimpleNamespace(**classes)


def _descriptor(stem: str) -> bytes:
    """Return the serialized descriptor that etcd3's source of this name holds."""
    folder = _folder()
    source = folder / "etcdrpc" / f"{stem}_pb2.py"
    try:
        found = _LITERAL.search(source.read_text(encoding="utf-8"))
        # The same encoding as the generated module's own _b() applies to this literal.
        return str(ast.literal_eval(found[1])).encode("latin1") if found else _foreign(folder)
    except (OSError, SyntaxError, ValueError) as error:
        raise PluginError(f"cannot read etcd's wire schema from {source}: {error}; {_NEEDED}") from error


def _folder() -> Path:
    """Find etcd3's folder without importing it: its import fails on current protobuf."""
    try:
        spec = find_spec("etcd3")
    except ValueError:  # a module of that name was put together by hand and has no spec
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise PluginError(f"the package etcd3, whose wire schema confo-etcd uses, is not there: {_NEEDED}")
    return Path(next(iter(spec.submodule_search_locations)))


def _foreign(folder: Path) -> bytes:
    raise PluginError(
        f"the package etcd3 in {folder} carries no serialized descriptors, so it is not the "
        f"distribution etcd3 0.12: {_NEEDED}"
    )


def complete(file: FileDescriptorProto) -> None:
    """Add the fields that etcd's rpc.proto gained after 2019 (etcd 3.4) and this client uses.

    Source of the numbers: api/etcdserverpb/rpc.proto of etcd. What is there already is left alone.
    """
    messages = {message.name: message for message in file.message_type}
    if "WatchProgressRequest" not in messages:
        file.message_type.add(name="WatchProgressRequest")
    number = FieldDescriptorProto
    request = _add(messages["WatchRequest"], "progress_request", 3, number.TYPE_MESSAGE)
    request.type_name = f".{file.package}.WatchProgressRequest"
    request.oneof_index = 0  # request_union, the message's only one
    _add(messages["WatchCreateRequest"], "watch_id", 7, number.TYPE_INT64)
    _add(messages["WatchCreateRequest"], "fragment", 8, number.TYPE_BOOL)
    _add(messages["WatchResponse"], "fragment", 7, number.TYPE_BOOL)


def _add(
    message: DescriptorProto, name: str, number: int, kind: FieldDescriptorProto.Type.ValueType
) -> FieldDescriptorProto:
    for field in message.field:
        if field.number == number:
            return field
    return message.field.add(name=name, number=number, type=kind, label=FieldDescriptorProto.LABEL_OPTIONAL)


def rename(file: FileDescriptorProto) -> None:
    """Move a file and all that it refers to under our own package, and leave its services out."""
    file.name = f"{_ROOT}/{file.name}"
    file.package = f"{_ROOT}.{file.package}"
    file.dependency[:] = [f"{_ROOT}/{name}" for name in file.dependency]
    file.ClearField("service")
    messages = list(file.message_type)
    while messages:
        message = messages.pop()
        messages.extend(message.nested_type)
        for field in message.field:
            if field.type_name:
                field.type_name = f".{_ROOT}{field.type_name}"
