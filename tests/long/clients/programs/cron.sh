# debian: cron
# alone
# The daemon itself: what a job prints goes to root, by /etc/aliases.
ln -sf "$SENDMAIL" /usr/sbin/sendmail
echo "root: $TO" > /etc/aliases
printf '* * * * * root echo "%s" # %s\n' "$BODY" "$SUBJECT" > /etc/cron.d/relay-test
chmod 644 /etc/cron.d/relay-test
rm -f /var/run/crond.pid
cron -f & daemon=$!
sleep 70
kill $daemon
