"""The connector for HBase: by the region servers' own protocol, or through a Thrift gateway."""
