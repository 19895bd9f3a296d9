"""A web application that reads its configuration from etcd; loaded by gunicorn before it forks."""

from __future__ import annotations

import json
import os

from confo import Confo

config = Confo()
config.load_backend(
    {"host": "127.0.0.1", "port": int(os.environ["ETCD_PORT"]), "prefix": os.environ["ETCD_PREFIX"]}, "e", "etcd"
)
config.activate_backend("e")
config.use_namespace("sales")


def application(environ, start_response):
    """Answer with this worker's id and what it reads; /set commits a field of the worker's own."""
    if environ["PATH_INFO"] == "/set":
        config.set("workers", str(os.getpid()), 1)
        config.persist()
    body = {"pid": os.getpid(), "host": config.get("database", "host"), "ready": config.health()["ready"]}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]
