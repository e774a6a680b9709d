"""How fast: the budgets of the API and of each mailbox, and the gate while the API is down."""
