"""Networks for photographs."""
