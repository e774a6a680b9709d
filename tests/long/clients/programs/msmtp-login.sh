# debian: msmtp
cat > .msmtprc <<RC
account default
host $HOST
port $TLS_PORT
tls on
tls_trust_file $CERTIFICATE
auth on
user $USER_NAME
password $PASSWORD
from $FROM
RC
chmod 600 .msmtprc
msmtp "$TO" < "$MESSAGE"
