"""Runs the platform on this machine without containers: servers, and the processes the chart describes."""
