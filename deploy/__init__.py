"""What puts Vedette onto machines."""
