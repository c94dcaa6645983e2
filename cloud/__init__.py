"""The cloud: stores what devices report, answers their questions, and shows both to the operator."""
