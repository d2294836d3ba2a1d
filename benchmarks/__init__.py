"""How fast we are, beside the database alone and beside what one could take instead.

``python -m benchmarks NAME …`` measures, and writes ``benchmarks/RESULTS.md``.
"""
