application_databases = {
  shop = { database_name = "shop", username = "shop_owner", settings = { work_mem = "a lot", no_such_thing = "1", "shop.tenant" = "it's" } }
}
