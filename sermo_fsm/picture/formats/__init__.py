"""How is a laid out picture written? One module for each format, and what SVG is made of."""
