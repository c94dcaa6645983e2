"""`vedette replay`: the whole hybrid on a clip, offline: what a policy would cost, and what it would catch."""
