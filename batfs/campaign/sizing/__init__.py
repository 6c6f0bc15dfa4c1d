"""How much is enough: the cheapest size of a machine's part that meets a target (``batfs size``)."""
