# debian: esmtp
printf 'hostname = %s:%s\n' "$HOST" "$PORT" > .esmtprc
esmtp -f "$FROM" "$TO" < "$MESSAGE"
