"""From cameras, files and streams to the newest frame of each."""
