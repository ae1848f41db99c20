application_databases = {
  backstage = {
    database_name    = "backstage"
    username         = "backstage_user"
    access_level     = "owner"
    schemas          = ["public", "catalog"]
    extensions       = ["uuid-ossp", "pg_trgm"]
    auth             = "password"
    secret           = "teams/backstage"
    memberships      = ["pg_monitor", "rds_replication"]
    createdb         = true
    connection_limit = 20
    valid_until      = "2027-01-31T00:00:00Z"
    settings         = { statement_timeout = "30s", search_path = "catalog, public" }
    creators         = ["flyway"]
    plugin_databases = ["backstage_plugin_*"]
    adopt            = true
  }
  reports = { database_name = "backstage", username = "reports", access_level = "reader", auth = "iam" }
}
