"""Postgres: tables, connections, migrations and rules as SQL. Imported by admin, compiler and recorder."""
