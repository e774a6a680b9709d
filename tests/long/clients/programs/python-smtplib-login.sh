# program: python3
SSL_CERT_FILE=$CERTIFICATE python3 - <<'PYTHON'
import os, smtplib, ssl
from email.message import EmailMessage
message = EmailMessage()
message["From"], message["To"], message["Subject"] = os.environ["FROM"], os.environ["TO"], os.environ["SUBJECT"]
message.set_content(os.environ["BODY"])
with smtplib.SMTP(os.environ["HOST"], int(os.environ["TLS_PORT"])) as client:
    client.starttls(context=ssl.create_default_context())
    client.login(os.environ["USER_NAME"], os.environ["PASSWORD"])
    client.send_message(message)
PYTHON
