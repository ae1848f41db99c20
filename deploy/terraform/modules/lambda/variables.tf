variable "name" {
  description = "The name of the function that provisions; the rotation function is NAME-rotation."
  type        = string
  default     = "rdsprov"
}

variable "package" {
  description = "The path of rdsprov-lambda-VERSION-TARGET.zip of a release."
  type        = string
}

variable "architecture" {
  description = "The architecture of the package: arm64 or x86_64."
  type        = string
  default     = "arm64"
  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "The architecture is arm64 or x86_64."
  }
}

variable "admin_secret_arn" {
  description = "The ARN of the administrator's secret, which the function that provisions reads. Events name it as `admin_secret`. Null for a fleet whose instances have roles of their own."
  type        = string
  default     = null
}

variable "application_secret_arns" {
  description = "The ARNs of the secrets of the applications. `*` is allowed in them. Empty for a fleet whose instances have roles of their own."
  type        = list(string)
}

variable "definitions_object_arns" {
  description = "The objects of S3 with definitions and fleet files, such as arn:aws:s3:::BUCKET/ENVIRONMENT/*."
  type        = list(string)
  default     = []
}

variable "records_object_arns" {
  description = "The objects of S3 to which `records` of events writes."
  type        = list(string)
  default     = []
}

variable "instance_role_arns" {
  description = "The roles in `assume_role` of a fleet file."
  type        = list(string)
  default     = []
}

variable "kms_key_arn" {
  description = "The ARN of the KMS key of the secrets, if it is not aws/secretsmanager."
  type        = string
  default     = null
}

variable "subnet_ids" {
  description = "Subnets from which the functions reach the server and the API of Secrets Manager."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups of the functions."
  type        = list(string)
}

variable "timeout" {
  description = "The time limit of an invocation in seconds. A run stops before it, and the next one completes it."
  type        = number
  default     = 900
}

variable "memory_size" {
  description = "The memory in MB."
  type        = number
  default     = 256
}

variable "log_retention_in_days" {
  description = "How long CloudWatch keeps the logs."
  type        = number
  default     = 90
}

variable "environment_variables" {
  description = "Environment variables of both functions, such as RDSPROV_POLICY. Other settings belong in rdsprov.toml of the package or in the event. Not passwords."
  type        = map(string)
  default     = {}
}

variable "rotation" {
  description = "Whether to create the rotation function, and allow Secrets Manager to invoke it. False if `application_secret_arns` is empty."
  type        = bool
  default     = true
  # IAM rejects a statement without a resource.
  validation {
    condition     = !var.rotation || length(var.application_secret_arns) > 0
    error_message = "The rotation function needs application_secret_arns: list the secrets that it rotates, or set rotation = false."
  }
}

variable "rotation_masters" {
  description = "The secrets that `masterarn` in secrets of applications names, for alternating users. For a secret that RDS manages, also the ARN of its DB instance or cluster. Empty if each role sets its own password."
  type = list(object({
    secret_arn = string
    server_arn = optional(string)
  }))
  default = []
}

variable "drift" {
  description = "A schedule expression for EventBridge, and the event with which the function reports drift."
  type = object({
    schedule_expression = string
    event               = any
  })
  default = null
}

variable "alarm_actions" {
  description = "What an alarm about drift or about an error of a function notifies, such as the ARNs of SNS topics."
  type        = list(string)
  default     = []
}
