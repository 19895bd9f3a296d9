"""A program that keeps a namespace and forks, and prints what its files held; run by test_cache.py."""

from __future__ import annotations

import json
import os
import sys
import threading
import time

from confo import Confo

SECONDS = 20.0


def kept(config: Confo, value: str) -> str | None:
    """Wait until the file holds this value, and return it."""
    keeper = config._loaded["store"]._keeper
    assert keeper is not None
    deadline, tick = time.monotonic() + SECONDS, threading.Event()
    while time.monotonic() < deadline:
        found = keeper.cache.file("sales").read()
        entry = found.entries().get("a") if found else None
        if entry and json.loads(entry.data)["by"] == value:
            return value
        tick.wait(0.01)
    return None


def put(config: Confo, value: str) -> str | None:
    """Commit a value and wait until it is kept."""
    config.set("a", "by", value)
    config.persist()
    return kept(config, value)


def main(folder: str) -> None:
    """Fork while it keeps: the child has a copy of the store, of the same identity."""
    config = Confo()
    config.load_backend({"store": "forked"}, "store", "memory", cache=folder)
    config.activate_backend("store")
    config.create_namespace("sales")
    config.use_namespace("sales")
    put(config, "before")
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.write(writing, str(put(config, "child")).encode())
            config.close()
            status = 0
        finally:
            os._exit(status)
    child = os.read(reading, 100).decode()
    status = os.waitpid(pid, 0)[1]
    config.set("a", "by", "a later revision than the child's")
    config.persist()
    parent = put(config, "parent")
    config.close()
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("confo")]
    sys.stdout.write(json.dumps({"child": child, "parent": parent, "status": status, "threads": threads}))


main(*sys.argv[1:])
