"""What the device shows on the spot: a page for people, figures for Prometheus."""
