"""A web application that follows a folder; loaded by gunicorn's workers."""

from __future__ import annotations

import json
import os

from confo import Confo

config = Confo()
config.load_backend({"config_path": os.environ["CONFO_FOLDER"]}, "files", "file")
sales = config.namespace("sales", backend="files")


def application(environ, start_response):
    """Answer with what this worker reads; /add adds one by a commit."""
    if environ["PATH_INFO"] == "/add":
        sales.transaction(lambda draft: draft["count"].update(n=draft["count"]["n"] + 1))
    body = {
        "host": sales.get("database", "host"),
        "n": sales.get("count", "n"),
        "state": sales.status().state.name,
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]
