"""What cells mean that are written as text: nothing, numbers, times. Decided once per column, read once per value."""
