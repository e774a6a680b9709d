# pip: aiosmtplib
venv/bin/python - <<'PYTHON'
import asyncio, os
from email.message import EmailMessage
import aiosmtplib
message = EmailMessage()
message["From"], message["To"], message["Subject"] = os.environ["FROM"], os.environ["TO"], os.environ["SUBJECT"]
message.set_content(os.environ["BODY"])
asyncio.run(aiosmtplib.send(message, hostname=os.environ["HOST"], port=int(os.environ["PORT"])))
PYTHON
