# debian: tcl tcllib
tclsh <<'TCL'
package require smtp
package require mime
set token [mime::initialize -canonical text/plain -string $env(BODY)]
mime::setheader $token From $env(FROM)
mime::setheader $token To $env(TO)
mime::setheader $token Subject $env(SUBJECT)
smtp::sendmessage $token -servers $env(HOST) -ports $env(PORT) -originator $env(FROM) -recipients $env(TO) -usetls 0
TCL
