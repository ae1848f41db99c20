rds_config = {
  enabled = false
}
