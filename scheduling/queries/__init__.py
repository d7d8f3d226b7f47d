"""What is, without changing it: for the dashboard, `doctor`, `explain` and monitors."""
