application_databases = {
  a = { database_name = "shop", username = "shop_user" }
  b = { database_name = "shop", username = "shop_user", access_level = "reader" }
}
