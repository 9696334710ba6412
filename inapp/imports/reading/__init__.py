"""A file → checked customers. Pure but for reading the file."""
