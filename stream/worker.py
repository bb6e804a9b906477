"""A worker process: a signal that ends the command is its parent's business, and it never outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

from stream.signals import ENDING


def begin_worker() -> None:
    """Make this child of multiprocessing end with its parent, however that ends.

    Ctrl-C and a closed terminal reach both: the parent answers. SIGTERM is how the parent ends it.
    """
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
