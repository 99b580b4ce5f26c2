"""Everything that is saved: versioned, validated JSON documents in a folder of the user's own."""

from workbench.documents.store import Document, DocumentStore

__all__ = ["Document", "DocumentStore"]
