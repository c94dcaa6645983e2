"""Answering the devices' questions: a picture and a claim in, a verdict out, once per question."""
