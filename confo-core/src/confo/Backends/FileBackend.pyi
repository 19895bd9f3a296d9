# For type checkers: what the module computed at import holds when the backend is installed.
from confo.backend import Backend

FileBackend: type[Backend]
