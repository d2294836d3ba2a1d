"""The positions of states, arrows and labels, computed from font metrics."""
