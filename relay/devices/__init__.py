"""What a device is, what it says and does wrong, and what its owner should change."""
