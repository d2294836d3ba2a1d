"""What does it mean? A message and its user's sessions in, a step out. No input, no output."""
