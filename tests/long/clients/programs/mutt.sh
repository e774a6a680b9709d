# debian: mutt
printf 'set smtp_url = "smtp://%s:%s"\nset from = "%s"\nset ssl_starttls = no\nset ssl_force_tls = no\nset copy = no\n' "$HOST" "$PORT" "$FROM" > .muttrc
mutt -s "$SUBJECT" -- "$TO" <<< "$BODY"
