"""What a process takes, as the kernel counts it: memory and processor time. 0 where the system does not tell (no /proc)."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path


def resident_mb(pid: int | None = None) -> float:
    """Resident megabytes of this or another process now; 0 also if it has ended."""
    try:
        pages = int(Path(f"/proc/{pid or 'self'}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def release_memory() -> None:
    """Give memory that was freed back to the system, where its C library can (glibc); elsewhere nothing happens."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):  # no such library, another one, or Windows
        return


def processor_s(pid: int) -> float:
    """Seconds of processor time that a process has taken, all threads, in user and kernel; 0 also if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0


def stolen_s() -> float:
    """Seconds since the start of the machine in which a processor had work and its hypervisor gave it to others, all added up."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
        return int(fields[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0
