"""How a drawing is written: Mermaid, DOT, SVG and PNG. Each reads a drawing and nothing else."""
