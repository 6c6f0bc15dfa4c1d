"""Published experiments, run again from their own files."""
