application_databases = {
  desk = { database_name = "shop", username = "desk_owner" }
  shop = { database_name = "desk", username = "shop_owner" }
}
