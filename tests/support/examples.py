"""Examples that Hypothesis makes up: the same every time, and however long the machine takes.

``--hypothesis-profile=default`` looks for others.
"""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")
