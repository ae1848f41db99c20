application_databases = {
  reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}
