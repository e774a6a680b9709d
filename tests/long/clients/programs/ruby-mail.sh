# debian: ruby ruby-mail
ruby -rmail -e '
mail = Mail.new(from: ENV["FROM"], to: ENV["TO"], subject: ENV["SUBJECT"], body: ENV["BODY"])
mail.delivery_method(:smtp, address: ENV["HOST"], port: ENV["PORT"].to_i)
mail.deliver!'
