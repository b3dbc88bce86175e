"""What is measured, each against a named peer in the same run. `python -m benchmarks.run` runs all of it."""
