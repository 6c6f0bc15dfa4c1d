"""batfs: file-system models, storage allocation and I/O-aware scheduling for Batsim."""

__version__ = "0.1.0"
