application_databases = {
  shop = {
    database_name = "shop"
    username      = "shop_owner"
    settings = {
      ROLE                      = "other"
      session_authorization     = "other"
      local_preload_libraries   = "x"
      session_preload_libraries = "x"
      search_path               = "app"
    }
  }
}
