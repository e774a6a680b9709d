# program: python3
# The handler that sends what is critical.
python3 - <<'PYTHON'
import logging, os
from logging.handlers import SMTPHandler
where = os.environ["HOST"], int(os.environ["PORT"])
handler = SMTPHandler(where, os.environ["FROM"], [os.environ["TO"]], os.environ["SUBJECT"])
logging.getLogger().addHandler(handler)
logging.error(os.environ["BODY"])
PYTHON
