"""The status page: what a server does, who does it, and where its applications wait."""
