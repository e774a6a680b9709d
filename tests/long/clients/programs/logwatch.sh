# debian: logwatch
mkdir -p /var/cache/logwatch
logwatch --mailto "$TO" --output mail --service kernel --range all --archives --logdir . \
    --mailer "$SENDMAIL -t" --subject "$SUBJECT" 2>&1 || true
