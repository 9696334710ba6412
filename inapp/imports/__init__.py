"""Customers from a file: reading and checking its lines (pure), and handing them over to the recorder."""
