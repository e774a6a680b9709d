"""What an outcome means, given the ones before it."""
