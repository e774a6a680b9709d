# debian: emacs-nox
emacs -Q --batch --eval '
(progn (require (quote smtpmail))
  (setq smtpmail-smtp-server (getenv "HOST") smtpmail-smtp-service (string-to-number (getenv "PORT"))
        user-mail-address (getenv "FROM"))
  (with-temp-buffer
    (insert "From: " (getenv "FROM") "\nTo: " (getenv "TO") "\nSubject: " (getenv "SUBJECT") "\n"
            mail-header-separator "\n" (getenv "BODY") "\n")
    (smtpmail-send-it)))'
