"""A DuckDB database file."""
