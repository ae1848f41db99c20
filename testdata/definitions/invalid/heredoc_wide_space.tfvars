note = <<EOT
text
 EOT
list = {}
application_databases = { shop = { database_name = "shop", username = "shop_user" } }
last = <<EOT
EOT
