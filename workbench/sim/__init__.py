"""`vedette sim`: thousands of light devices that speak the real protocol to a real service."""
