# debian: golang-go
cat > send.go <<'GO'
package main

import (
	"net/smtp"
	"os"
)

func main() {
	get := os.Getenv
	message := "From: " + get("FROM") + "\r\nTo: " + get("TO") + "\r\nSubject: " + get("SUBJECT") + "\r\n\r\n" + get("BODY") + "\r\n"
	login := smtp.PlainAuth("", get("USER_NAME"), get("PASSWORD"), get("HOST"))
	if err := smtp.SendMail(get("HOST")+":"+get("TLS_PORT"), login, get("FROM"), []string{get("TO")}, []byte(message)); err != nil {
		panic(err)
	}
}
GO
GOCACHE=$PWD/cache SSL_CERT_FILE=$CERTIFICATE go run send.go
