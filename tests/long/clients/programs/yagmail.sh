# pip: yagmail
venv/bin/python - <<'PYTHON'
import os, yagmail
where = {"host": os.environ["HOST"], "port": int(os.environ["PORT"])}
mail = yagmail.SMTP(os.environ["FROM"], smtp_ssl=False, smtp_starttls=False, smtp_skip_login=True, **where)
mail.send(os.environ["TO"], os.environ["SUBJECT"], os.environ["BODY"])
PYTHON
