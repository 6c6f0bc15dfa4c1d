"""Benchmarks; ``python -m benchmarks`` measures the simulator and prints a table."""
