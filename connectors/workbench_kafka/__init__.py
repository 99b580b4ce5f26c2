"""Kafka: topics as tables, as feeds and as sinks."""
