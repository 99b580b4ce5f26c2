"""What a connector is. Interfaces here are the specification; `workbench.testing` holds connectors to them.

Imports the standard library only; pyarrow appears in annotations.
"""

from workbench.contract.change import (
    Changes,
    Guarantee,
    Heartbeat,
    Position,
    Rejects,
    SchemaChange,
    WriteSpec,
)
from workbench.contract.connector import (
    Capabilities,
    ConnectionConfig,
    Connector,
    Feed,
    Feeds,
    Listing,
    LookingFeed,
    Manifest,
    ServerInfo,
    Sinks,
    Tables,
    Writer,
)
from workbench.contract.predicate import And, Applied, Column, Compare, In, IsNull, Literal, Not, Or, Predicate, Scalar
from workbench.contract.reduction import Aggregate, Measure, Order, Top
from workbench.contract.scan import Control, Reader, ScanPlan, ScanRequest, Split, TableInfo, TableRef
from workbench.contract.secret import Secret

__all__ = [
    "Aggregate",
    "And",
    "Applied",
    "Capabilities",
    "Changes",
    "Column",
    "Compare",
    "ConnectionConfig",
    "Connector",
    "Control",
    "Feed",
    "Feeds",
    "Guarantee",
    "Heartbeat",
    "In",
    "IsNull",
    "Listing",
    "Literal",
    "LookingFeed",
    "Manifest",
    "Measure",
    "Not",
    "Or",
    "Order",
    "Position",
    "Predicate",
    "Reader",
    "Rejects",
    "Scalar",
    "ScanPlan",
    "ScanRequest",
    "SchemaChange",
    "Secret",
    "ServerInfo",
    "Sinks",
    "Split",
    "TableInfo",
    "TableRef",
    "Tables",
    "Top",
    "WriteSpec",
    "Writer",
]
