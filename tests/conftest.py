"""Properties are never judged by the clock, and in CI they are always tried on the same examples."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("calm"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "calm")
