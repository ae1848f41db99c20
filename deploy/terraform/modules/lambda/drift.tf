# Reports drift on a schedule, and changes nothing. The function writes metrics: an alarm is raised if
# the server differs from the definitions, or if they cannot be compared.

locals {
  drift = var.drift == null ? {} : { drift = var.drift }
  alarms = {
    for metric in ["Drift", "Failed", "Refused"] : metric => var.drift
    if var.drift != null
  }
}

resource "aws_cloudwatch_event_rule" "drift" {
  for_each            = local.drift
  name                = "${var.name}-drift"
  description         = "Compares the server with the definitions."
  schedule_expression = each.value.schedule_expression
}

resource "aws_cloudwatch_event_target" "drift" {
  for_each = local.drift
  rule     = aws_cloudwatch_event_rule.drift[each.key].name
  arn      = aws_lambda_function.provision.arn
  # Whatever the event says, the schedule only reports.
  input = jsonencode(merge(each.value.event, { mode = "check", format = "text" }))
}

resource "aws_lambda_permission" "drift" {
  for_each      = local.drift
  statement_id  = "EventBridge"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.provision.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.drift[each.key].arn
}

# A refusal does not become better by a repetition.
resource "aws_lambda_function_event_invoke_config" "drift" {
  for_each               = local.drift
  function_name          = aws_lambda_function.provision.function_name
  maximum_retry_attempts = 0
}

resource "aws_cloudwatch_metric_alarm" "drift" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${lower(each.key)}"
  alarm_description   = "The log of the function ${var.name} contains the plan or the errors."
  namespace           = "rdsprov"
  metric_name         = each.key
  dimensions          = { Environment = each.value.event.environment, Mode = "check" }
  statistic           = "Maximum"
  period              = 3600
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "ignore"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}
