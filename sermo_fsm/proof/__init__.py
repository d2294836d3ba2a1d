"""The proofs about the machine, a module for each kind; :mod:`.run` runs all of them."""
