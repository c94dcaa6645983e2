"""What stands behind the agent's ports: files, sockets, libraries and the clock. Foreign errors end here."""
