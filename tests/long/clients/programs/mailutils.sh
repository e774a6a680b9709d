# debian: mailutils
mail.mailutils -E "set sendmail=smtp://$HOST:$PORT" -r "$FROM" -s "$SUBJECT" "$TO" <<< "$BODY"
