"""MongoDB: documents as tables."""
