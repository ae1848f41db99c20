application_databases = {
  a = {
    database_name    = "a"
    username         = "a_user"
    schemas          = "public"
    extensions       = [1]
    auth             = "kerberos"
    createdb         = "yes"
    connection_limit = 1.5
    settings         = { work_mem = 4 }
    creators         = ["pg_monitor", "migrations", "migrations"]
    plugin_databases = "a_*"
  }
  b = {
    database_name = "b"
    username      = "b_user"
    access_level  = "reader"
    extensions    = ["pgcrypto", "pgcrypto"]
  }
  c = {
    database_name = "c"
    username      = "c_user"
    auth          = "iam"
    secret        = "c/secret"
  }
  d = { database_name = "d", username = "d_user", auth = "iam" }
  e = { database_name = "e", username = "d_user", access_level = "reader", secret = "d/secret" }
  f = { database_name = "f", username = "d_user", access_level = "reader", auth = "password" }
}
