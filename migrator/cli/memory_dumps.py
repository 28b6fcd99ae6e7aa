"""No core dumps: the memory of this process holds state documents and keys, and a dump of it is a file that nobody guards.

Children inherit the limit. They do not inherit Linux's second switch, which is there because a limit of zero does not
keep a dump from a program that the kernel pipes it into; it also keeps other processes of the same user from attaching.
"""

import resource
import sys

_PR_SET_DUMPABLE = 4  # linux/prctl.h


def forbid_core_dumps() -> None:
    """Keep this process from leaving its memory on a disk, as far as the system lets it. Never fails."""
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        pass  # the switch below may still be there
    if sys.platform == "linux":
        import ctypes

        try:
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        except (OSError, AttributeError):
            pass
