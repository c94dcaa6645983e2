"""What is in the picture: is it worth a look, and what does the model see."""
