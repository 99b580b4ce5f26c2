"""Runs scans: threads, bounded queues, progress, cancel, limits, spool; and the watchdog. Knows no SQL.

Modules are imported by their own names: `workbench.execution.scan`, `.spool`, `.stop`, `.watchdog`.
"""
