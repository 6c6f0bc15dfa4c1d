"""The experiments of ``batfs reproduce``, one module each."""
