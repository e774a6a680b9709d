# debian: curl
curl -sS "smtp://$HOST:$TLS_PORT" --ssl-reqd --cacert "$CERTIFICATE" --user "$USER_NAME:$PASSWORD" \
    --mail-from "$FROM" --mail-rcpt "$TO" --upload-file "$MESSAGE"
