"""Services shared by all connections of one server, independent of the protocol."""
