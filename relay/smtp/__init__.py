"""The front door: SMTP as devices really speak it, made into Submissions."""
