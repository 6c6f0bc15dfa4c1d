"""How bytes move: the file-system models and the I/O profile they make."""
