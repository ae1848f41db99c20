application_databases = {
  shop         = { database_name = "shop", username = "shop_owner", schemas = ["app"] }
  shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader", schemas = ["app"] }
}
