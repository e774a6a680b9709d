"""What a person asks of the running relay: the control socket and its verbs, check, trace."""
