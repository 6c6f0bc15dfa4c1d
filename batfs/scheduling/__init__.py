"""Which job next, on which nodes: queue policies and the scheduler that joins them with storage."""
