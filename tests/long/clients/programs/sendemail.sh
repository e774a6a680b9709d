# debian: sendemail
sendemail -f "$FROM" -t "$TO" -u "$SUBJECT" -m "$BODY" -s "$HOST:$PORT" -o tls=no
