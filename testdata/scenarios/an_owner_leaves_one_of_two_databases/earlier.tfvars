application_databases = {
  shop = { database_name = "shop", username = "shop_owner" }
  desk = { database_name = "desk", username = "shop_owner" }
}
