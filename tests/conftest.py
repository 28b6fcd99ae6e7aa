"""Profiles of hypothesis: machines are shared and noisy, so no test is judged by its time.

HYPOTHESIS_PROFILE=nightly (`scripts/test --nightly`) looks much longer, and elsewhere each night, in CI too.
"""

import os
import signal
import threading

from hypothesis import HealthCheck, settings

settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", parent=settings.get_profile("suite"), max_examples=10_000, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

# A suite that was started in the background ignores SIGINT, and what it starts would inherit that: tests of an interrupt
# could not interrupt. With a handler of our own, children begin with the default again.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
