"""Settings of all tests."""

from hypothesis import settings

# The same examples everywhere: what passes here passes on every machine.
settings.register_profile("same", derandomize=True)
settings.load_profile("same")
