# pip: redmail
venv/bin/python - <<'PYTHON'
import os
from redmail import EmailSender
sender = EmailSender(host=os.environ["HOST"], port=int(os.environ["PORT"]), use_starttls=False)
sender.send(subject=os.environ["SUBJECT"], sender=os.environ["FROM"], receivers=[os.environ["TO"]], text=os.environ["BODY"])
PYTHON
