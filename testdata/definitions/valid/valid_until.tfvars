# One entry of a role is enough.
application_databases = {
  migration  = { database_name = "shop", username = "migrator", valid_until = "2027-01-31T00:00:00Z" }
  migration2 = { database_name = "wiki", username = "migrator", access_level = "reader" }
  same       = { database_name = "blog", username = "migrator", access_level = "reader", valid_until = "2027-01-31T00:00:00Z" }
  never      = { database_name = "hr", username = "hr_owner", valid_until = null }
}
