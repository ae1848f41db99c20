Environment = "dev"
rds-config = {
  application_databases = { shop = { database_name = "shop", username = "shop_user" } }
}
