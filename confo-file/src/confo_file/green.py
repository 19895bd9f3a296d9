"""Whether this process runs its threads as greenlets, as gevent and eventlet patch it, and gunicorn's workers.

Neither library is imported: who patched has imported it.
"""

from __future__ import annotations

import sys
from typing import Any


def are_greenlets() -> bool:
    """Tell whether ``threading`` starts greenlets; a wait in native code would then stop all of them."""
    gevent: Any = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("threading"):
        return True
    eventlet: Any = sys.modules.get("eventlet.patcher")
    return eventlet is not None and bool(eventlet.is_monkey_patched("thread"))
