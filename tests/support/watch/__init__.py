"""The watch over the suite's secrets. This folder is on the path of every process that the suite starts."""
