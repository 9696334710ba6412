"""Rows of Postgres tables, as the one transaction reads and writes them."""
