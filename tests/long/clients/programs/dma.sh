# debian: dma
# alone
printf 'SMARTHOST %s\nPORT %s\n' "$HOST" "$PORT" > /etc/dma/dma.conf
/usr/sbin/sendmail -f "$FROM" "$TO" < "$MESSAGE"
sleep 3
