"""The account's grant: consent, refresh, and where the tokens are kept."""
