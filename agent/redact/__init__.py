"""What may be seen in a picture that leaves: the one door between frames and encoders."""
