//! The head of a plan: its title, and the settings of the run in words.

use super::Plan;
use super::words::selected_words;
use crate::hint::Wording;
use crate::run_setting::{RunSetting, RunSettingName, ValueSource};

impl Plan {
    /// Returns the first line of the plan: the environment with its scope, the server and the selection.
    pub(super) fn title(&self) -> String {
        let server = self.origin.server.as_ref().map(|server| format!(" on {server}"));
        let (server, restriction) = (server.unwrap_or_default(), self.restriction());
        let scope = self.origin.scope.as_ref().map(|scope| format!(", scope {scope}"));
        let scope = scope.unwrap_or_default();
        format!("Plan for environment {}{scope}{server}{restriction}", self.environment)
    }

    /// Returns which applications the plan covers, or which build it tears down, and whether it contains
    /// additions only, for its title; nothing if it contains everything.
    pub(super) fn restriction(&self) -> String {
        let selection = match (selected_words(&self.origin.only), &self.origin.torn_down_build) {
            (none, Some(build)) if none.is_empty() => format!(", teardown of build {build}"),
            (none, None) if none.is_empty() => none,
            (some, _) => format!(", only for {some}"),
        };
        let additive = if self.origin.additive { ", additions only" } else { "" };
        format!("{selection}{additive}")
    }

    /// Returns the settings of the run in up to three lines: the administrator on the server, how the run
    /// reaches the server, and how it is protected. A plan without a run has none.
    pub(super) fn settings_in_words(&self, wording: &dyn Wording) -> Vec<String> {
        let of = |name| self.run_settings.iter().find(|one| one.name == name);
        let from = |one: &RunSetting| self.source_in_words(&one.source, wording);
        let with_value =
            |name, noun: &str| of(name).map(|one| format!("{noun}{} ({})", one.value, from(one)));
        let address = match (of(RunSettingName::Host), of(RunSettingName::Port)) {
            (Some(host), Some(port)) if host.source == port.source => {
                vec![format!("host and port from {}", from(host))]
            }
            (host, port) => [(host, "host"), (port, "port")]
                .into_iter()
                .filter_map(|(one, noun)| Some(format!("{noun} from {}", from(one?))))
                .collect(),
        };
        let tunnel = with_value(RunSettingName::ConnectTo, "connected to ");
        let administrator = [
            with_value(RunSettingName::AdminSecret, "administrator's secret "),
            with_value(RunSettingName::AdminUser, "IAM token of the administrator "),
        ];
        let aws = [
            with_value(RunSettingName::AwsRegion, "secrets in AWS region "),
            with_value(RunSettingName::AssumeRole, "credentials of IAM role "),
            with_value(RunSettingName::SecretKmsKey, "KMS key of a new secret "),
        ];
        let is_tag = |one: &&RunSetting| one.name == RunSettingName::SecretTag;
        let tag = |one: &RunSetting| format!("tag of a new secret {} ({})", one.value, from(one));
        let tags = self.run_settings.iter().filter(is_tag).map(tag);
        let aws = aws.into_iter().flatten().chain(tags);
        let reached = administrator.into_iter().flatten().chain(address).chain(tunnel).chain(aws);
        let protected = [
            with_value(RunSettingName::TlsMode, "TLS "),
            with_value(RunSettingName::CaFile, "CA file "),
            with_value(RunSettingName::VerifyPasswords, "password checks "),
            with_value(RunSettingName::AuditTable, "audit table "),
            with_value(RunSettingName::Approval, "approval "),
        ];
        let session = self.admin_database.as_ref().filter(|_| self.origin.server.is_some());
        let session = session.map(|database| {
            let (version, administrator) = (self.server_major, &self.origin.administrator);
            format!("PostgreSQL {version}, as {administrator} in database {database}")
        });
        let lines: [Vec<String>; 3] = [
            session.into_iter().collect(),
            reached.collect(),
            protected.into_iter().flatten().collect(),
        ];
        lines.into_iter().filter(|line| !line.is_empty()).map(|line| line.join(", ")).collect()
    }

    fn source_in_words(&self, source: &ValueSource, wording: &dyn Wording) -> String {
        match source {
            ValueSource::Secret(id) if self.origin.admin_secret.as_ref() == Some(id) => {
                "this secret".to_owned()
            }
            source => source.in_words(wording),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hint::{Neutral, Opt};
    use crate::plan::{SecretFindings, test_states};
    use crate::secret_id::SecretId;

    fn plan(settings: Vec<RunSetting>) -> Plan {
        let (mut desired, mut observed) = (test_states::desired(), test_states::observed());
        desired.approval =
            settings.iter().find(|one| one.name == RunSettingName::Approval).cloned();
        observed.connection.server = Some("db.example.com:5432".to_owned());
        observed.connection.admin_secret = Some(SecretId("prod/master".to_owned()));
        observed.connection.settings =
            settings.into_iter().filter(|one| one.name != RunSettingName::Approval).collect();
        Plan::new(&desired, &observed, SecretFindings::default())
    }

    fn settings(tls: (&str, ValueSource), approval: (&str, ValueSource)) -> Vec<RunSetting> {
        let secret = || ValueSource::Secret(SecretId("prod/master".to_owned()));
        let config = || ValueSource::ConfigFile("rdsprov.toml".to_owned());
        vec![
            RunSetting::new(RunSettingName::Host, "db.example.com", secret()),
            RunSetting::new(RunSettingName::Port, "5432", secret()),
            RunSetting::new(RunSettingName::AdminSecret, "prod/master", config()),
            RunSetting::new(RunSettingName::TlsMode, tls.0, tls.1),
            RunSetting::new(RunSettingName::Approval, approval.0, approval.1),
        ]
    }

    #[test]
    fn head_names_each_value_and_its_source() {
        let policy = ValueSource::SitePolicy("/etc/rdsprov/policy.toml".to_owned());
        let one = plan(settings(("require", ValueSource::Option(Opt::Tls)), ("plan", policy)));
        let text = one.to_text();
        let head: Vec<&str> = text.lines().take(5).collect();
        assert_eq!(
            head,
            [
                "Plan for environment dev on db.example.com:5432",
                "  PostgreSQL 17, as platform_admin in database postgres",
                "  administrator's secret prod/master (rdsprov.toml), host and port from this secret",
                "  TLS require (the option `tls`), approval plan (site policy /etc/rdsprov/policy.toml)",
                "",
            ]
        );
        let markdown = one.to_markdown_worded(&Neutral);
        assert!(markdown.starts_with("### Plan for environment dev on db.example.com:5432\n\n"));
        for words in ["prod/master", "TLS require", "approval plan", "site policy"] {
            assert!(markdown.contains(words), "{words}: {markdown}");
        }
    }

    fn with(further: impl IntoIterator<Item = RunSetting>) -> Plan {
        let mut all = settings(("require", ValueSource::Default), ("none", ValueSource::Default));
        all.extend(further);
        plan(all)
    }

    /// Each region has its own secret with an id.
    #[test]
    fn aws_region_of_the_secrets_is_in_head_and_digest() {
        let of = |region: &str, source| {
            with([RunSetting::new(RunSettingName::AwsRegion, region, source)])
        };
        let one = of("eu-west-2", ValueSource::Definitions);
        let words = "from this secret, secrets in AWS region eu-west-2 (definitions)\n";
        assert!(one.to_text().contains(words), "{}", one.to_text());
        assert!(one.to_markdown_worded(&Neutral).contains("AWS region eu-west-2 (definitions)"));
        assert_eq!(one.digest, of("eu-west-2", ValueSource::AwsSdk).digest);
        assert_ne!(one.digest, of("eu-west-1", ValueSource::Definitions).digest);
    }

    /// Each account has its own secret with an id. Whoever may use a KMS key can read the secrets that it
    /// encrypts, and tags can decide which principals may read a secret.
    #[test]
    fn account_and_protection_of_secrets_are_in_head_and_digest() {
        let of_file = || ValueSource::ConfigFile("fleet.toml".to_owned());
        let none = with([]);
        for (name, value, other, words) in [
            (
                RunSettingName::AssumeRole,
                "arn:aws:iam::111122223333:role/rdsprov",
                "arn:aws:iam::444455556666:role/rdsprov",
                ", credentials of IAM role arn:aws:iam::111122223333:role/rdsprov (fleet.toml)\n",
            ),
            (
                RunSettingName::SecretKmsKey,
                "alias/a",
                "alias/b",
                ", KMS key of a new secret alias/a (fleet.toml)\n",
            ),
            (
                RunSettingName::SecretTag,
                "team=a",
                "team=b",
                ", tag of a new secret team=a (fleet.toml)\n",
            ),
        ] {
            let of = |value: &str| with([RunSetting::new(name, value, of_file())]);
            let one = of(value);
            assert!(one.to_text().contains(words), "{}", one.to_text());
            assert_ne!(one.digest, none.digest, "{name:?}");
            assert_ne!(one.digest, of(other).digest, "{name:?}");
        }
        let tags = with(
            ["team=a", "x=y"].map(|tag| RunSetting::new(RunSettingName::SecretTag, tag, of_file())),
        );
        assert!(tags.to_text().contains("tag of a new secret x=y"), "{}", tags.to_text());
    }

    /// An approval by digest is for the values: a laxer policy or TLS mode needs a new approval.
    /// Another source of the same value does not make a plan stale.
    #[test]
    fn digest_covers_values_and_not_their_sources() {
        let of = |tls: (&str, ValueSource), approval| plan(settings(tls, approval)).digest;
        let default = || ValueSource::Default;
        let option = || ValueSource::Option(Opt::Tls);
        let one = of(("verify-full", default()), ("required", default()));
        assert_eq!(one, of(("verify-full", option()), ("required", default())));
        assert_ne!(one, of(("require", option()), ("required", default())));
        assert_ne!(one, of(("verify-full", default()), ("none", default())));
    }
}
