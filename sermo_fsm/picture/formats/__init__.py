"""The formats of a diagram, one module each: Mermaid, DOT, SVG and PNG."""
