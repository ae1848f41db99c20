application_databases = {
  shop = {
    database_name = "shop" # first
    username      = "shop_user"
  }
}
note = <<EOT
hello
EOT
