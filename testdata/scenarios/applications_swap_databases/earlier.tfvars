application_databases = {
  desk = { database_name = "desk", username = "desk_owner" }
  shop = { database_name = "shop", username = "shop_owner" }
}
