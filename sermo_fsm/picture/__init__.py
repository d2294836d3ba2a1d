"""Diagrams: what a drawing holds, how it is laid out, and how each format writes it."""
