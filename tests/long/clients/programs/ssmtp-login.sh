# debian: ssmtp
# alone
cat > /etc/ssmtp/ssmtp.conf <<CONF
mailhub=$HOST:$TLS_PORT
hostname=nas.example.com
FromLineOverride=YES
UseSTARTTLS=YES
AuthUser=$USER_NAME
AuthPass=$PASSWORD
CONF
ssmtp "$TO" < "$MESSAGE"
