"""What all tests share."""

from hypothesis import settings

# Machines differ: no test may fail because one was slow.
settings.register_profile("scrubjay", deadline=None)
settings.load_profile("scrubjay")
