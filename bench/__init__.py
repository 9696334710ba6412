"""Benchmarks: what is promised about speed, measured on this machine. Not part of the wheel."""
