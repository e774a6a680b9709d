"""relay.toml: its keys and their types, how it is read, what it may include, its units."""
