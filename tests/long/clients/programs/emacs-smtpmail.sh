# debian: emacs-nox
emacs -Q --batch --eval '
(progn (require (quote smtpmail))
  (setq send-mail-function (quote smtpmail-send-it) smtpmail-smtp-server (getenv "HOST")
        smtpmail-smtp-service (string-to-number (getenv "PORT")) user-mail-address (getenv "FROM"))
  (compose-mail (getenv "TO") (getenv "SUBJECT") (list (cons "From" (getenv "FROM"))))
  (goto-char (point-max)) (insert (getenv "BODY") "\n") (mail-send))'
