"""A session as JSON, as a timeline and as a path through the states. No database."""
