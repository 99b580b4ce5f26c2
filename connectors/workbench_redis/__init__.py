"""Redis: streams as tables, as feeds and as sinks."""
