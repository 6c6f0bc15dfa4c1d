"""Running the scheduler: for Batsim over ZeroMQ, or in-process for our simulator."""
