"""Runs scans: threads, bounded queues, progress, stop, limits, spool, and the watchdog. Knows no SQL."""
