"""What comes of it: rows, their budgets, the file of results, the table and the plot."""
