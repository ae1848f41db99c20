note = <<EOT
application_databases = {
  fake = { database_name = "fake", username = "fake_user" }
}
EOT
indented = <<-EOT
    rds_config = {
      enabled = false
    }
    EOT
application_databases = { shop = { database_name = "shop", username = "shop_user" } }
