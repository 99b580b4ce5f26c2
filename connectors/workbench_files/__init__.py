"""Files and folders of Parquet, Arrow IPC, CSV and JSON lines."""
