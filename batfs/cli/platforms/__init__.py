"""The commands under ``batfs platform``."""
