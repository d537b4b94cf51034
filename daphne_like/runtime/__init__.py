"""What all connections of one server share; knows no protocol."""
