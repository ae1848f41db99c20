note = <<EOT
the text holds
  EOT # c
EOT
application_databases = { shop = { database_name = "shop", username = "shop_user" } }
