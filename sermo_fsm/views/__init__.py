"""How is a session told? As JSON, as a timeline, as a path through the states. No database."""
