"""What is proved about the machine, and how: one module for each kind of proof."""
