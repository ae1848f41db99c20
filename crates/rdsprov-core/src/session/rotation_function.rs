//! Prepares the rotation function of Secrets Manager.

use super::credential_sources;
use super::error::Error;
use super::files::site_policy;
use super::open::{ServerOptions, tls};
use crate::config::{Config, NewSecrets};
use crate::operations::RotationFunction;
use crate::secrets::{SecretsManager, aws};

/// Returns the rotation function with the TLS settings, the time limits and the rules for passwords of
/// a configuration and of the site policy.
///
/// # Errors
/// Returns an [`Error`] if a setting is invalid, or if the AWS region is not known.
pub async fn rotation_function(config: &Config) -> Result<RotationFunction, Error> {
    let site = site_policy()?;
    let (tls, _) = tls(config, &site, &ServerOptions::default())?;
    let connect_timeout = config.connect_timeout.unwrap_or_default();
    let sources = credential_sources::detect();
    let aws = aws::configuration(config.aws_region.clone(), sources, None, connect_timeout).await;
    Ok(RotationFunction {
        manager: SecretsManager::new(&aws, NewSecrets::default())?,
        tls,
        connect_to: config.connect_to.clone(),
        connect_timeout,
        statement_timeout: config.statement_timeout.unwrap_or_default(),
        minimum_length: config.passwords.minimum_length,
        site,
    })
}
