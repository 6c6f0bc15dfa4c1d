"""Batsim 4.2.1's times without Batsim: solver, activities, server and output files."""
