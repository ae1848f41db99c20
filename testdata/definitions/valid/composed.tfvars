application_databases = {
  shop = {
    database_name = "shop"
    username      = "shop_user"
    settings      = { "app.escaped" = "e\u0301", "app.plain" = "é", "app.parts" = "e${"\u0301"}" }
  }
}
