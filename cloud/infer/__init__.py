"""The cloud's own model: slower and better than a device's, behind the same port as every detector."""
