"""What ``batfs verify`` compares: recorded conversations of Batsim, and random tasks in SimGrid itself."""
