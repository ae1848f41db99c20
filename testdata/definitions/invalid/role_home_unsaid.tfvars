application_databases = {
  bank     = { database_name = "bank", username = "bank_owner" }
  a_bank   = { database_name = "a", username = "bank_owner", secret = "team_a/mine" }
  reports  = { database_name = "bank", username = "analyst", access_level = "reader" }
  a_owns   = { database_name = "b", username = "analyst", secret = "team_a/mine" }
  z_ended  = { database_name = "z", username = "analyst", access_level = "none" }
  visitor  = { database_name = "bank", username = "visitor", access_level = "reader" }
  a_visits = { database_name = "a", username = "visitor", access_level = "reader", auth = "iam" }
  limited  = { database_name = "c", username = "limited" }
  a_limits = { database_name = "d", username = "limited", connection_limit = 0, memberships = ["pg_monitor"] }
}
