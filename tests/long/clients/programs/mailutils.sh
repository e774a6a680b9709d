# debian: mailutils
printf 'mailer { url "smtp://%s:%s"; };\n' "$HOST" "$PORT" > .mailutils
mail.mailutils --config-file=.mailutils -r "$FROM" -s "$SUBJECT" "$TO" <<< "$BODY"
