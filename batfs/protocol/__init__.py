"""Batsim's messages: typed records and their JSON form."""
