# debian: bsd-mailx
# alone
# It calls /usr/sbin/sendmail.
ln -sf "$SENDMAIL" /usr/sbin/sendmail
bsd-mailx -s "$SUBJECT" -r "$FROM" "$TO" <<< "$BODY"
