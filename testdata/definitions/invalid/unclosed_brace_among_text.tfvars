# a comment with {
text = "a \" } ${"nested }"} %%{ $${"  // {
/* { [ ( */
note = <<-EOT
  { "
  EOT
application_databases = {
  a = { database_name = "a", username = "a_user" }

tags = {}
