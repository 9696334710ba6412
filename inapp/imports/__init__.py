"""Customers from a file: `reading` it, and handing its customers over to the recorder."""
