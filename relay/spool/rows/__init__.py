"""What engines share: how a row is written and read, and how a damaged one is recognised."""
