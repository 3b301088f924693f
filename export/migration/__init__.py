"""SavedModels that hold compiled samplers, brought to stock operations: `rescue.migrate`."""
