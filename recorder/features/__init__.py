"""What audiences ask about events: adopted, gathered from the past, kept in rings."""
