"""From output tensors to candidates: one module for each `wire.model.OutputKind`."""
