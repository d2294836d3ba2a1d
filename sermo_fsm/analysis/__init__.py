"""The questions that read everything stored: verify, compare, traffic, histories."""
