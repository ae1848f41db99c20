//! The text of a definitions file, and its syntax.

use std::str::FromStr;

use crate::named_enum::named_enum;

named_enum! {
    /// The syntax of a definitions file.
    "snake_case" pub enum Syntax {
        /// HCL, as in `*.tfvars` of Terraform.
        Hcl,
        /// JSON: `*.tfvars.json` and `*.json`.
        Json,
        /// TOML: `*.toml`.
        Toml,
    }
}

impl Syntax {
    /// Returns the syntax that belongs to the extension of `path`, or `None` if it is not known.
    ///
    /// ```
    /// use rdsprov_core::definitions::Syntax;
    /// assert_eq!(Syntax::from_path("dev.tfvars"), Some(Syntax::Hcl));
    /// assert_eq!(Syntax::from_path("dev.yaml"), None);
    /// ```
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        match path.rsplit_once('.')?.1 {
            "tfvars" => Some(Self::Hcl),
            "json" => Some(Self::Json),
            "toml" => Some(Self::Toml),
            _ => None,
        }
    }
}

impl Syntax {
    /// Returns the name that people write: `JSON`.
    pub(super) fn title(self) -> String {
        self.name().to_uppercase()
    }

    /// Returns the end of the names of definitions files in this syntax.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Hcl => ".tfvars",
            Self::Json => ".tfvars.json",
            Self::Toml => ".toml",
        }
    }
}

impl FromStr for Syntax {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::all()
            .find(|syntax| syntax.name() == text)
            .ok_or_else(|| "the syntaxes are hcl, json and toml".to_owned())
    }
}

/// The text of one definitions file.
#[derive(Debug, Clone)]
pub struct SourceText {
    /// The path of the file, as error messages print it.
    pub path: String,
    /// The whole content of the file; it may start with a byte order mark.
    pub text: String,
    /// The syntax as which the text is parsed.
    pub syntax: Syntax,
}

/// Returns the SHA-256 of the files in the given order, as `sha256:…`.
///
/// For one file, the digits are those that `sha256sum FILE` prints. For several files, they are
/// those that `cat FILE… | sha256sum` prints.
///
/// ```
/// use rdsprov_core::definitions::{SourceText, Syntax, sha256};
/// let source = SourceText { path: "a.toml".into(), text: String::new(), syntax: Syntax::Toml };
/// assert!(sha256(&[source]).starts_with("sha256:e3b0c442"));
/// ```
#[must_use]
pub fn sha256(sources: &[SourceText]) -> String {
    let texts: Vec<&str> = sources.iter().map(|source| source.text.as_str()).collect();
    crate::digest::sha256(texts.concat().as_bytes())
}
