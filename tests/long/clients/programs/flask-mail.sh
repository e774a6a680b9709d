# python: flask_mail
"$PYTHON" - <<'PYTHON'
import os
from flask import Flask
from flask_mail import Mail, Message
app = Flask(__name__)
app.config.update(MAIL_SERVER=os.environ["HOST"], MAIL_PORT=int(os.environ["PORT"]))
with app.app_context():
    Mail(app).send(Message(os.environ["SUBJECT"], [os.environ["TO"]], os.environ["BODY"], sender=os.environ["FROM"]))
PYTHON
