"""Hive through HiveServer2."""
