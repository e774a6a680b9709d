# debian: swaks
swaks --server "$HOST:$TLS_PORT" --tls --auth PLAIN --auth-user "$USER_NAME" --auth-password "$PASSWORD" \
    --from "$FROM" --to "$TO" --h-Subject "$SUBJECT" --attach-body "$BODY"
