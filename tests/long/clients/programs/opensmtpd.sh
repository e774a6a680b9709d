# debian: opensmtpd
# alone
printf 'listen on lo port 2599\naction "relay" relay host smtp://%s:%s\nmatch from local for any action "relay"\n' "$HOST" "$PORT" > /etc/smtpd.conf
smtpd
sleep 1
/usr/sbin/sendmail -f "$FROM" "$TO" < "$MESSAGE"
sleep 4
smtpctl stop || true
