# python: django
"$PYTHON" - <<'PYTHON'
import os, django
from django.conf import settings
host, port = os.environ["HOST"], int(os.environ["PORT"])
backend = "django.core.mail.backends.smtp.EmailBackend"
if django.VERSION >= (6, 1):
    settings.configure(MAILERS={"default": {"BACKEND": backend, "OPTIONS": {"host": host, "port": port}}})
else:
    settings.configure(EMAIL_HOST=host, EMAIL_PORT=port)
from django.core.mail import send_mail
send_mail(os.environ["SUBJECT"], os.environ["BODY"], os.environ["FROM"], [os.environ["TO"]])
PYTHON
