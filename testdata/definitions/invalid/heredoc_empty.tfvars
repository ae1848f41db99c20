note = <<EOT
EOT
application_databases = { shop = { database_name = "shop", username = "shop_user" } }
text = <<EOT
application_databases = { fake = { database_name = "fake", username = "fake_user" } }
EOT
