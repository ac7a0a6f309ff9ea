"""Settings of the tests of sources."""

from hypothesis import settings

# Reading a file takes as long as the machine is busy.
settings.register_profile("files", deadline=None, max_examples=50)
settings.load_profile("files")
