"""Named connections: where they are kept, how they are opened, what tables they have."""

from workbench.catalog.catalog import Catalog
from workbench.catalog.connection import Connection, Connections, TableList
from workbench.catalog.saved import Saved

__all__ = ["Catalog", "Connection", "Connections", "Saved", "TableList"]
