"""Memory of a process that plays for a whole evening: what is freed goes back to the system."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

_LARGE_BYTES = 2 << 20  # a chunk with its backup, and little else: new pages for what passes by are costly
_KEPT_BYTES = 64 << 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>, glibc


def keep_large_blocks_apart() -> None:
    """Have glibc map each block of two megabytes or more by itself, from now on, so that it is gone when it is freed.

    Left alone, glibc raises that bound to 32 MB with the first large block that is freed. Backups of sound, 3 MB each,
    then share a heap with what lives long, which grows with every gap that nothing fits into.
    """
    with suppress(OSError, AttributeError, TypeError):  # another C library
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)  # else 128 kB: 14,000 new pages a second for what passes by


def return_what_is_free() -> None:
    """Have glibc give back the pages within its heaps that nothing lies on; milliseconds, for every minute or so.

    By itself it gives back the tops of heaps alone, and what is freed below them is filled again only where it fits.
    """
    with suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def settle() -> None:
    """Collect what the start left behind; what is there now lives on and is not looked through again."""
    gc.collect()
    gc.freeze()
