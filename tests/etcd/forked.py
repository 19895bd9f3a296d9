"""Programs that fork; each prints what it saw as JSON. Run by test_forks.py, never imported by it."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
import traceback

from confo import Confo

SECONDS = 20.0


def load(port: str, prefix: str) -> Confo:
    """Return the process's Confo, its namespace followed."""
    config = Confo()
    config.load_backend({"host": "127.0.0.1", "port": int(port), "prefix": prefix}, "e", "etcd")
    config.activate_backend("e")
    config.use_namespace("sales")
    return config


def child(name: str, news, answer) -> None:
    """Read the inherited copy, follow a commit of the parent's, hear of it, and commit."""
    config = Confo()
    sales = config.namespace("sales")
    seen = {"pid": os.getpid(), "inherited": config.get("database", "host")}
    revision = news.recv()
    seen["followed"] = sales.wait_for(revision, SECONDS)
    seen["pushed"] = config.get("database", "host")
    seen["state"] = sales.status().state.name
    sales.set(name, "from", "child")
    commit = sales.persist()
    assert commit is not None
    seen["revision"] = commit.revision
    seen["threads"] = sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("confo"))
    answer.send(seen)
    config.close()


def by_os_fork(config: Confo, name: str, news, answer) -> object:
    """Fork as os.fork does."""
    pid = os.fork()
    if pid:
        return lambda: os.waitpid(pid, 0)[1]
    status = 1
    try:
        child(name, news, answer)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def by_multiprocessing(config: Confo, name: str, news, answer) -> object:
    """Fork as multiprocessing does."""
    process = multiprocessing.get_context("fork").Process(target=child, args=(name, news, answer))
    process.start()

    def wait() -> int:
        process.join(SECONDS)
        return process.exitcode or 0

    return wait


def main(way: str, port: str, prefix: str, writers: str) -> None:
    """Fork two children of a followed parent, while threads of it write; say what everyone saw."""
    config = load(port, prefix)
    sales = config.namespace("sales")
    heard: list[str] = []
    sales.on_change(lambda event: heard.append(str(event.configuration)))
    done = threading.Event()

    def write(number: int) -> None:
        handle = Confo(f"writer{number}")
        handle.load_backend({"host": "127.0.0.1", "port": int(port), "prefix": prefix}, "e", "etcd")
        handle.activate_backend("e")
        handle.use_namespace("sales")
        step = 0
        while not done.is_set():
            step += 1
            handle.set(f"busy{number}", "n", step)
            handle.persist()
        handle.close()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(int(writers))]
    for thread in threads:
        thread.start()
    fork = {"os.fork": by_os_fork, "multiprocessing": by_multiprocessing}[way]
    children = []
    for number in range(2):
        news, theirs = multiprocessing.Pipe()
        answer, answering = multiprocessing.Pipe()
        children.append((news, answer, fork(config, f"child{number}", theirs, answering)))
    done.set()
    for thread in threads:
        thread.join()
    sales.set("database", "host", "after")
    revision = sales.persist().revision
    seen = []
    for news, _answer, _ in children:
        news.send(revision)
    for _news, answer, _ in children:
        assert answer.poll(SECONDS), "a child did not answer"
        seen.append(answer.recv())
    statuses = [wait() for _, _, wait in children]
    parent = {
        "followed": sales.wait_for(max(one["revision"] for one in seen), SECONDS),
        "children": sorted(name for name in sales if name.startswith("child")),
        "state": sales.status().state.name,
        "heard": sorted(set(heard) & {"child0", "child1"}),
        "statuses": statuses,
    }
    config.close()
    parent["threads"] = [thread.name for thread in threading.enumerate() if thread.name.startswith("confo")]
    print(json.dumps({"children": seen, "parent": parent}))  # noqa: T201 - its result


if __name__ == "__main__":
    main(*sys.argv[1:])
