"""This machine: its clock, disk, certificates and passwords, systemd, the log."""
