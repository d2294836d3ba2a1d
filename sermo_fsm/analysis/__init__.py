"""Questions that read everything: verify, compare, traffic, histories."""
