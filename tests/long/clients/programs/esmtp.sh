# debian: esmtp
printf 'hostname = %s:%s\n' "$HOST" "$PORT" > .esmtprc
chmod 600 .esmtprc
esmtp -f "$FROM" "$TO" < "$MESSAGE"
