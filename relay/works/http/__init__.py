"""HTTP to Works: requests, their bodies, the connection, and how an exchange ended."""
