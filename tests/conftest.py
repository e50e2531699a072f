"""What all tests share."""

import os

from hypothesis import settings

from tests.support.shared_daemon import daemon_with_rules, place, shared_daemon

__all__ = ["daemon_with_rules", "place", "shared_daemon"]

# Tests run beside their daemons: threads of a model that spin while they wait would take the cores from the rest.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Machines differ: no test may fail because one was slow.
settings.register_profile("scrubjay", deadline=None)
settings.load_profile("scrubjay")
# `pytest --hypothesis-profile=long tests/contexts`: 2,000 random steps for each class of models.
settings.register_profile("long", deadline=None, stateful_step_count=2000)
