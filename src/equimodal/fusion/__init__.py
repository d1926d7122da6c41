"""Modules that let the branches of a network see each other."""
