environment           = null
application_databases = null
rds_config = {
  enabled               = "true"
  application_databases = {
    shop = {
      database_name = "shop"
      username      = "shop_user"
      access_level  = null
      secret        = null
      adopt         = null
      schemas       = null
      settings      = { "app.none" = null, "app.one" = "1" }
    }
  }
}
