"""What is asked for: jobs and profiles, and the formats they come in."""
