import os

from hypothesis import settings

# `--hypothesis-profile` (make test HYPOTHESIS_PROFILE=…) overrides what is loaded here.
settings.register_profile("default", deadline=None)
# The same examples on every build: a red build is red for its change.
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.getenv("CI") else "default"))
