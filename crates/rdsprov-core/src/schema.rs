//! The JSON Schemas of the documents that rdsprov prints or stores, and of the files that it reads, generated from the Rust types
//! and their doc comments.
//!
//! The `format_version` of a document is raised for each change that can break a program that reads
//! it. New keys do not raise it.

use std::str::FromStr;

use regex::Regex;
use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};

use crate::access_report::{AccessDiff, AccessReport};
use crate::audit::{AccessAt, LedgerLine, TableReport};
use crate::definitions::Definitions;
use crate::fleet::FleetReport;
use crate::input_schema;
use crate::named_enum::named_enum;
use crate::plan::{Plan, SavedPlan};
use crate::preflight::PreflightReport;
use crate::run_report::RunReport;
use crate::run_setting::SettingsInForce;

named_enum! {
    /// A document with a published schema: JSON that rdsprov prints or stores, or a file that users write.
    "kebab-case" pub enum Document {
        /// The output of `plan --format json`.
        Plan,
        /// The file that `plan --out` writes.
        SavedPlan,
        /// One line of a ledger.
        Ledger,
        /// The output of `access --format json`.
        Access,
        /// The output of `access --diff FILE --format json`.
        AccessDiff,
        /// The output of `access --at TIME --format json`.
        AccessAt,
        /// The output of `audit report --from-tables --format json`.
        AuditTables,
        /// The output of `validate --format json`.
        Definitions,
        /// The output of `preflight --format json`.
        Preflight,
        /// The output of `plan --fleet FILE --format json`, and of `check`, `preflight` and `access`.
        Fleet,
        /// The output of `config --format json`.
        Config,
        /// The output of `apply --format json`, and of `rotate` and `delegate`.
        Run,
        /// The file `rdsprov.toml`.
        ConfigFile,
        /// A definitions file in TOML or JSON.
        DefinitionsFile,
        /// The file for `--fleet`.
        FleetFile,
    }
}

impl Document {
    /// Returns the schema of the document, in the version draft 2020-12.
    ///
    /// ```
    /// use rdsprov_core::schema::Document;
    /// let schema = Document::Plan.schema();
    /// assert_eq!(schema.get("title").unwrap(), "rdsprov plan");
    /// ```
    #[must_use]
    pub fn schema(self) -> Schema {
        let mut cleanup = DescriptionCleanup::default();
        let generator = || SchemaSettings::draft2020_12().for_serialize().into_generator();
        let mut schema = match self {
            Self::Plan => generator().into_root_schema_for::<Plan>(),
            Self::SavedPlan => generator().into_root_schema_for::<SavedPlan>(),
            Self::Ledger => generator().into_root_schema_for::<LedgerLine>(),
            Self::Access => generator().into_root_schema_for::<AccessReport>(),
            Self::AccessDiff => generator().into_root_schema_for::<AccessDiff>(),
            Self::AccessAt => generator().into_root_schema_for::<AccessAt>(),
            Self::AuditTables => generator().into_root_schema_for::<TableReport>(),
            Self::Definitions => generator().into_root_schema_for::<Definitions>(),
            Self::Preflight => generator().into_root_schema_for::<PreflightReport>(),
            Self::Config => generator().into_root_schema_for::<SettingsInForce>(),
            Self::Run => generator().into_root_schema_for::<RunReport>(),
            Self::Fleet => generator().into_root_schema_for::<FleetReport>(),
            Self::ConfigFile => input_schema::config_file(),
            Self::DefinitionsFile => input_schema::definitions_file(),
            Self::FleetFile => input_schema::fleet_file(),
        };
        cleanup.transform(&mut schema);
        schema.insert("title".to_owned(), format!("rdsprov {self}").into());
        // A name, which leads to no page: the program prints the schema.
        schema.insert("$id".to_owned(), format!("urn:rdsprov:schema:{self}").into());
        schema
    }
}

impl FromStr for Document {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::all().find(|document| document.name() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::all().map(Self::name).collect();
            format!("no such document; the documents are {}", known.join(", "))
        })
    }
}

/// Removes Rust examples and links from the descriptions, which come from doc comments.
#[derive(Debug, Clone, Default)]
struct DescriptionCleanup {
    link: Option<Regex>,
}

impl Transform for DescriptionCleanup {
    fn transform(&mut self, schema: &mut Schema) {
        let link = self.link.take().or_else(|| Regex::new(r"\[(`[^`]+`)\](?:\([^)]*\))?").ok());
        if let Some(description) = schema.get("description").and_then(|text| text.as_str()) {
            let text = description.split("\n\n```").next().unwrap_or_default();
            let text = link.as_ref().map(|link| link.replace_all(text, "$1").into_owned());
            if let Some(text) = text {
                schema.insert("description".to_owned(), text.into());
            }
        }
        self.link = link;
        transform_subschemas(self, schema);
    }
}
