application_databases = {
  shop = {
    database_name = "shop"
    username      = "shop_owner"
    memberships   = ["pg_monitor", "pg_monitor", "rds_superuser", "pg_read_all_data", "shop_reader"]
  }
  reports = {
    database_name = "shop"
    username      = "shop_reader"
    access_level  = "reader"
    memberships   = "pg_monitor"
  }
}
