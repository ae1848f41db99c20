application_databases = {
  shop = { database_name = "shop", username = "shop_owner", secret = "goldenpath/dev/desk/postgres" }
  desk = { database_name = "desk", username = "shop_owner", secret = "goldenpath/dev/desk/postgres" }
}
