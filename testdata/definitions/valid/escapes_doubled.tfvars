application_databases = {
  shop = {
    database_name = "shop"
    username      = "shop_user"
    settings = {
      "app.quoted"  = "$$${a} $$$${b} %%%{c} $%"
      "app.heredoc" = <<EOT
$$${a} $$$${b} %%%{c}
EOT
    }
  }
}
