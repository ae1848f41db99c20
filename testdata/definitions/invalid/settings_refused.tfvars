application_databases = {
  shop = {
    database_name = "shop"
    username      = "shop_owner"
    settings = {
      ROLE                      = "other"
      session_authorization     = "other"
      local_preload_libraries   = "x"
      session_preload_libraries = "x"
      session_replication_role  = "replica"
      "pgaudit.log"             = "none"
      search_path               = "app"
    }
  }
}
