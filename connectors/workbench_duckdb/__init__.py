"""Analytics Workbench's connector for DuckDB database files."""
