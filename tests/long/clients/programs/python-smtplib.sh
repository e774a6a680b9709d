# program: python3
python3 - <<'PYTHON'
import os, smtplib
from email.message import EmailMessage
message = EmailMessage()
message["From"], message["To"], message["Subject"] = os.environ["FROM"], os.environ["TO"], os.environ["SUBJECT"]
message.set_content(os.environ["BODY"])
with smtplib.SMTP(os.environ["HOST"], int(os.environ["PORT"])) as client:
    client.send_message(message)
PYTHON
