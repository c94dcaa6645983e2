"""Who a device is: the authority, claims, certificates, and what they are worth."""
