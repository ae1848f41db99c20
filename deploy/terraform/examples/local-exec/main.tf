# Provisions the databases on the machine that runs Terraform, with the files that Terraform reads.
#
# If rdsprov fails, Terraform marks the resource as tainted, and the next apply runs rdsprov again.
terraform {
  required_version = ">= 1.4"
}

variable "environment" {
  description = "The environment."
  type        = string
}

variable "application_databases" {
  description = "The applications, as rdsprov reads them."
  type        = any
}

variable "admin_secret" {
  description = "The id of the administrator's secret. An output of the server's module orders both."
  type        = string
}

variable "approval" {
  description = "The approval: the digest of the reviewed plan, as sha256:…"
  type        = string
  default     = ""
}

resource "terraform_data" "databases" {
  # A change of one of these values runs rdsprov again. Drift of the server does not: see the schedules.
  triggers_replace = [var.environment, var.application_databases, var.admin_secret]

  provisioner "local-exec" {
    command = "rdsprov apply -d '${path.root}/terraform.tfvars'"
    environment = {
      ALLOW_DB_PROVISION   = var.approval
      RDSPROV_ADMIN_SECRET = var.admin_secret
      RDSPROV_ENV          = var.environment
    }
  }
}

# A pipeline can run rdsprov after Terraform, with outputs instead of the variable file:
#
#   terraform output -json > outputs.json && rdsprov apply -d outputs.json
output "environment" {
  value = var.environment
}

output "application_databases" {
  value = var.application_databases
}
