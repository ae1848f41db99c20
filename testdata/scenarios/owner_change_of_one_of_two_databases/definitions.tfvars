application_databases = {
  shop = { database_name = "shop", username = "new_owner" }
  desk = { database_name = "desk", username = "shop_owner", secret = "goldenpath/dev/desk/postgres" }
}
