//! Embeds rdsprov: prints the plan for `shop.toml`, applies it, and prints the result of each step.
//! The variable `SHOP_SECRETS` maps the id of each secret to its content, a JSON object.

use std::sync::Arc;

use rdsprov_core::secret_id::SecretId;
use rdsprov_core::secrets::{Secret, SecretError, SecretProvider, SourceError};
use rdsprov_core::session::{self, ApplyOptions, Cancellation, Secrets};
use rdsprov_core::{Error, Setup};

struct ShopSecrets(serde_json::Value);

impl SecretProvider for ShopSecrets {
    fn secret(&self, id: &SecretId) -> Result<Result<Secret, SecretError>, SourceError> {
        let text = self.0.get(id.to_string()).map(ToString::to_string);
        let text =
            text.ok_or_else(|| SecretError::Missing { id: id.clone(), region: None, file: None });
        Ok(text.and_then(|text| Secret::parse(id, &text)))
    }
}

#[tokio::main]
pub async fn main() -> Result<(), Error> {
    let secrets = std::env::var("SHOP_SECRETS").unwrap_or_default();
    let secrets = ShopSecrets(serde_json::from_str(&secrets).unwrap_or_default());
    let setup = Setup::builder().environment("prod").files(["shop.toml"]);
    let mut options = ApplyOptions::default();
    options.run.server.secrets = Secrets::Own(Arc::new(secrets));

    // Connect and plan. Nothing is changed.
    let mut run = setup.clone().build()?.open(&options.run.server).await?;
    print!("{}", run.plan().await?.plan().to_text());
    // Plan again with the lock, check the approval and the hazards, and apply.
    options.run.approval = std::env::var("SHOP_APPROVAL").ok();
    let outcome = session::apply(setup, &options, &(), &Cancellation::default()).await;
    for (step, result) in &outcome.steps {
        println!("{} {}: {:?}", step.action, step.summary, result.status);
    }
    outcome.result.map(|completion| println!("{completion:?}"))
}
