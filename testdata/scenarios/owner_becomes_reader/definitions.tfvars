application_databases = {
  shop     = { database_name = "shop", username = "shop_owner", access_level = "reader" }
  new_shop = { database_name = "shop", username = "new_owner" }
}
