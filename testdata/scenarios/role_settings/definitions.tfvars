application_databases = {
  shop = {
    database_name = "shop"
    username      = "shop_owner"
    settings      = { work_mem = "8MB", search_path = "\"$user\", Orders, public", TimeZone = "UTC", DateStyle = "ISO, DMY" }
  }
}
