"""Profiles of hypothesis: machines are shared and noisy, so no test is judged by its time.

HYPOTHESIS_PROFILE=nightly looks much longer.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", parent=settings.get_profile("suite"), max_examples=10_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))
