"""The parts of `batfs workload`, one module a verb."""
