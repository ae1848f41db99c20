application_databases = {
  shop         = { database_name = "shop", username = "shop_owner", creators = ["shop_migrations"] }
  shop_archive = { database_name = "shop", username = "shop_archive", access_level = "reader", creators = ["shop_migrations"] }
  shop_reports = {
    database_name = "shop"
    username      = "shop_reader"
    access_level  = "editor"
    creators      = ["shop_reader", "stranger"]
  }

  # Without an owner entry, and with an empty list, there is nothing to decide.
  legacy = { database_name = "legacy", username = "legacy_reader", access_level = "reader", creators = ["batch"] }
  shop_b = { database_name = "shop", username = "shop_b", access_level = "reader", creators = [] }
}
