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
      log_statement             = "none"
      event_triggers            = "off"
      zero_damaged_pages        = "on"
      temp_file_limit           = "-1"
      search_path               = "app"
    }
  }
}
