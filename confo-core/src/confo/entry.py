"""From a URL to what a program holds: ``connect`` gives a namespace, ``open`` a registry with one backend."""

from __future__ import annotations

import os
from collections.abc import Generator
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from confo import shield
from confo.Confo import Confo
from confo.errors import CredentialsError, InvalidOption, NamespaceNotFound
from confo.hints import did_you_mean
from confo.namespace import Namespace
from confo.url import Target, parse

if TYPE_CHECKING:
    from typing import Unpack

    from confo.Confo import LoadOptions

URL_VARIABLE = "CONFO_URL"
"""The environment variable that names the store of a program that gives no URL."""
_OPTIONS = ("start", "cache", "timeout", "history", "follow", "unreadable")


def connect(url: str | None = None, *, create: bool = False, **options: Unpack[LoadOptions]) -> Namespace:
    """Open the namespace that a URL names: ``with confo.connect("etcd://127.0.0.1:2379/sales") as sales:``.

    The scheme is the kind of backend, the last part of the path the namespace, the rest the backend's credentials;
    the query holds more of them: ``?timeout=3``. Without a URL the environment variable CONFO_URL is taken. ``create``
    makes what is missing: the namespace, and for files the folder. ``options`` are those of ``Confo.load_backend``.

    The namespace owns its backend: close it, or use it in a ``with`` block. Raises CredentialsError for what is no
    URL of a namespace, NamespaceNotFound without ``create``, and what ``load_backend`` raises.
    """
    return shield.run(partial(_connected, url, create, options), undo=Namespace.close)


def _connected(url: str | None, create: bool, options: LoadOptions) -> Namespace:
    target = _target(url)
    if target.namespace is None:
        raise CredentialsError(
            f"the URL names no namespace: its path ends with one, as in {target.kind}:///sales or "
            f"{target.kind}://host:port/sales"
        )
    config = _opened(target, create, options)
    return config.namespace(target.namespace)._owning(config.close)


def aconnect(url: str | None = None, *, create: bool = False, **options: Unpack[LoadOptions]) -> Connecting:
    """Do what ``connect`` does without blocking the event loop: ``async with confo.aconnect(url) as sales:``.

    ``sales = await confo.aconnect(url)`` works too; end it with ``await sales.aclose()``.
    """
    return Connecting(url, create, options)


class Connecting:
    """A namespace that is being opened: await it, or use it in an ``async with`` block, which closes it."""

    def __init__(self, url: str | None, create: bool, options: LoadOptions) -> None:
        self._asked = url, create, options
        self._namespace: Namespace | None = None

    def __await__(self) -> Generator[Any, None, Namespace]:
        """Open it."""
        return self._open().__await__()

    async def __aenter__(self) -> Namespace:
        """Open it."""
        self._namespace = await self._open()
        return self._namespace

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        if self._namespace is not None:
            await self._namespace.aclose()

    async def _open(self) -> Namespace:
        import asyncio

        url, create, options = self._asked
        return await asyncio.to_thread(connect, url, create=create, **options)


def open(url: str | None = None, *, create: bool = False, **options: Unpack[LoadOptions]) -> Confo:
    """Return a Confo of its own with the backend of this URL loaded, active, and the namespace in use.

    ``open("etcd://127.0.0.1:2379/sales?timeout=3")``: see ``connect`` for the URL and the options; one that names no
    namespace leaves the choice to ``use_namespace``. Close it, or use it in a ``with`` block.
    """
    return shield.run(lambda: _opened(_target(url), create, options), undo=Confo.close)


def _target(url: str | None) -> Target:
    if url is None:
        url = os.environ.get(URL_VARIABLE)
        if not url:
            raise InvalidOption(f"no URL was given, and the environment variable {URL_VARIABLE} is not set")
    return parse(url)


def _opened(target: Target, create: bool, options: LoadOptions) -> Confo:
    for option in options:
        if option not in _OPTIONS:
            raise InvalidOption(
                f"there is no option {option!r}{did_you_mean(option, _OPTIONS)}; options: {', '.join(_OPTIONS)}. "
                f"Credentials of the backend go into the URL: ?{option}=..."
            )
    credentials = {**target.backend.create_credentials, **target.credentials} if create else target.credentials
    config = Confo._new(target.kind)
    config.load_backend(credentials, target.kind, target.kind, **options)
    try:
        config.activate_backend(target.kind)
        if target.namespace:
            _use(config, target.namespace, create=create)
    except BaseException:
        config.close()
        raise
    return config


def _use(config: Confo, namespace: str, *, create: bool) -> None:
    if not create:
        config.use_namespace(namespace)
        return
    try:
        config._require_active().namespace(namespace, waits=False)
    except NamespaceNotFound:
        config.create_namespace(namespace, exist_ok=True)  # another worker may have made it meanwhile
    config.use_namespace(namespace)
