"""How fast the project is, beside plain code that does the same: `python -m benchmarks`."""
