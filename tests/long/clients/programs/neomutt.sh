# debian: neomutt
printf 'set smtp_url = "smtp://%s:%s"\nset from = "%s"\nset ssl_starttls = no\nset ssl_force_tls = no\nset copy = no\n' "$HOST" "$PORT" "$FROM" > .neomuttrc
neomutt -F .neomuttrc -s "$SUBJECT" -- "$TO" <<< "$BODY"
