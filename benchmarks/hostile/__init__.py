"""Hostile input, much of it: messages, requests of the web, command lines and files, rogue conversations."""
