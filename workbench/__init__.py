"""What a developer and a visitor run: the demo and the tools that may know both sides. Never needed on a device."""
