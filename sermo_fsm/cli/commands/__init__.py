"""The commands: the module ``name`` holds the command ``name``."""
