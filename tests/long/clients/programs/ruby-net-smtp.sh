# debian: ruby
ruby -rnet/smtp -e '
message = "From: #{ENV["FROM"]}\r\nTo: #{ENV["TO"]}\r\nSubject: #{ENV["SUBJECT"]}\r\n\r\n#{ENV["BODY"]}\r\n"
Net::SMTP.start(ENV["HOST"], ENV["PORT"].to_i) { |smtp| smtp.send_message(message, ENV["FROM"], ENV["TO"]) }'
