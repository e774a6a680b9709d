# debian: msmtp
printf 'account default\nhost %s\nport %s\nfrom %s\n' "$HOST" "$PORT" "$FROM" > .msmtprc
msmtp "$TO" < "$MESSAGE"
