//! Reads the trees of all files into [`Definitions`]: finds the applications, checks that the files
//! agree with each other, and collects every error.
//!
//! The rules for a single application are in `entry`.

use std::collections::BTreeMap;

use regex::Regex;

use super::cross_checks::{CrossChecks, ExplicitKeys, settle_creators};
use super::entry::application;
use super::file::{Entries, File, given};
use super::keys::APPLICATIONS;
use super::parse_tree::parse_tree;
use super::role_home::settle_roles;
use super::tree::{Key, Node, Span, Value};
use super::{
    Application, DEFAULT_NAMING_PATTERN, Defaults, DefinitionError, DefinitionErrors, Definitions,
    Excerpt, Location, Mode, Rules, SourceText,
};
use crate::error_code::ErrorCode;
use crate::hint;
use crate::hint::{Hint, Opt};
use crate::name::{check_environment, check_scope};
use crate::text::{brief, visible};

/// A variable that rdsprov reads from the top level of a file.
struct Variable {
    name: &'static str,
    has_type: fn(&Value) -> bool,
    /// The largest edit distance at which another name is reported as a typo of this one. It is 1
    /// for `rds_config`, because a file can also contain `ecs_config`, at distance 2.
    max_edit_distance: usize,
}

const VARIABLES: [Variable; 5] = [
    Variable { name: "environment", has_type: is_string, max_edit_distance: 2 },
    Variable { name: "aws_region", has_type: is_string, max_edit_distance: 1 },
    Variable { name: "scope", has_type: is_string, max_edit_distance: 1 },
    Variable { name: "rds_config", has_type: is_map, max_edit_distance: 1 },
    Variable { name: APPLICATIONS, has_type: is_map, max_edit_distance: 2 },
];

fn is_string(value: &Value) -> bool {
    matches!(value, Value::String(_))
}

fn is_map(value: &Value) -> bool {
    matches!(value, Value::Map(_))
}

/// The definitions and the errors of all files.
struct Gathered {
    definitions: Definitions,
    errors: Vec<DefinitionError>,
    /// The number of errors that are not in `errors`.
    omitted: usize,
    /// Why the files declare no applications; empty if one of them does.
    absent: Vec<DefinitionError>,
}

impl Definitions {
    /// Parses the files and combines their applications.
    ///
    /// # Errors
    /// Returns the errors of all files together, in the order of the files and lines.
    ///
    /// ```
    /// use rdsprov_core::definitions::{Definitions, Rules, SourceText, Syntax};
    /// let source = SourceText {
    ///     path: "dev.tfvars".into(),
    ///     text: r#"application_databases = { shop = { database_name = "shop", username = "shop_user" } }"#.into(),
    ///     syntax: Syntax::Hcl,
    /// };
    /// let definitions = Definitions::parse(&[source], &Rules::default()).unwrap();
    /// assert_eq!(definitions.applications.len(), 1);
    /// ```
    pub fn parse(sources: &[SourceText], rules: &Rules) -> Result<Self, DefinitionErrors> {
        let Gathered { definitions, mut errors, omitted, absent } = gather(sources, rules);
        errors.extend(absent);
        if errors.is_empty() {
            Ok(definitions)
        } else {
            Err(DefinitionErrors::new(errors, omitted))
        }
    }
}

impl DefinitionErrors {
    /// Returns the errors of some files while others could not be read.
    ///
    /// It leaves out the error that no file declares applications, because the missing
    /// files may declare them.
    ///
    /// ```
    /// use rdsprov_core::definitions::{DefinitionErrors, Rules, SourceText, Syntax};
    /// let text = "environment = \"dev\"".to_owned();
    /// let source = SourceText { path: "common.tfvars".into(), text, syntax: Syntax::Hcl };
    /// assert!(DefinitionErrors::partial(&[source], &Rules::default()).errors.is_empty());
    /// ```
    #[must_use]
    pub fn partial(sources: &[SourceText], rules: &Rules) -> Self {
        let Gathered { errors, omitted, .. } = gather(sources, rules);
        Self::new(errors, omitted)
    }
}

fn gather(sources: &[SourceText], rules: &Rules) -> Gathered {
    let mut errors = Vec::new();
    let pattern = rules.naming_pattern.as_deref().unwrap_or(DEFAULT_NAMING_PATTERN);
    let pattern = match Regex::new(&format!("^(?:{pattern})$")) {
        Ok(regex) => Some(regex),
        Err(error) => {
            let message = error.to_string();
            let message = message.lines().last().unwrap_or_default();
            let message = message.trim_start_matches("error: ");
            errors.push(DefinitionError {
                location: Location::start_of("rdsprov.toml"),
                excerpt: Some(Excerpt {
                    text: format!("naming_pattern = {:?}", brief(pattern)),
                    column: 1,
                }),
                code: ErrorCode::InvalidNamingPattern,
                message: format!("the naming pattern is not a regular expression: {message}"),
                hint: "correct `naming_pattern` in `[definitions]` of `rdsprov.toml`".into(),
            });
            None
        }
    };
    let mut files: Vec<(File<'_>, Option<Node>)> = sources.iter().map(open).collect();
    let environment = variable(&mut files, "environment");
    if let Some(name) = &environment
        && let Err(error) = check_environment(name)
    {
        report_variable(&mut files, "environment", error.code(), error.to_string(), error.hint());
    }
    let aws_region = variable(&mut files, "aws_region");
    let scope = scope(&mut files, rules);
    let defaults = rules.defaults_for(rules.environment.as_deref().or(environment.as_deref()));
    let mut definitions = Definitions {
        environment,
        aws_region,
        scope,
        mode: Mode::Standalone,
        applications: BTreeMap::new(),
    };
    let mut mode: Option<(Mode, String)> = None;
    let mut absent = Vec::new();
    let mut explicit = ExplicitKeys::new();
    let mut checks = CrossChecks::default();
    let mut read = Vec::new();
    for (mut file, root) in files {
        let top = root.as_ref().and_then(top);
        let is_misspelt = top.as_ref().is_some_and(|top| check_misspelt(&mut file, top, rules));
        let found = top.map(|top| find_applications(&mut file, &top, rules));
        match found {
            Some(ApplicationsKey::Applications(found, node)) => {
                check_mode(&mut file, &mode, found, node);
                if let Some((_, first)) = mode.as_ref().filter(|_| rules.one_declaration) {
                    file.error(
                        &node.span,
                        ErrorCode::TerraformIncompatible,
                        format!(
                            "{first} declares applications, too: Terraform uses only the last file"
                        ),
                        hint![
                            "name the files with ",
                            Opt::Definitions,
                            ", which reads them as one"
                        ],
                    );
                }
                mode = mode.or(Some((found, file.source.path.clone())));
                for (application, keys) in
                    applications(&mut file, rules, &defaults, pattern.as_ref(), node)
                {
                    checks.check(&mut file, &application);
                    let name = application.application.clone();
                    explicit.entry(name.clone()).or_insert(keys);
                    definitions.applications.entry(name).or_insert(application);
                }
            }
            // A file may contain other variables only. If it contains a faulty declaration of
            // applications, that is an error, even if another file declares some.
            Some(ApplicationsKey::Absent { .. }) if is_misspelt => {}
            Some(ApplicationsKey::Absent { error, is_attempt: true }) => file.errors.push(error),
            Some(ApplicationsKey::Absent { error, is_attempt: false }) => absent.push(error),
            Some(ApplicationsKey::Refused) | None => {}
        }
        read.push(file);
    }
    let mut of_entries = settle_roles(&mut definitions, &explicit, rules);
    of_entries.extend(settle_creators(&mut definitions, &explicit));
    for error in of_entries {
        let Some(entry) = definitions.applications.get(&error.application) else { continue };
        let location = entry.location.clone();
        if let Some(file) = read.iter_mut().find(|file| file.source.path == location.file) {
            file.report(location, error.code, error.message, error.hint);
        }
    }
    let mut omitted = 0;
    for mut file in read {
        file.errors.sort_by_key(|error| (error.location.line, error.location.column));
        errors.extend(file.errors);
        omitted += file.omitted;
    }
    if absent.len() < sources.len() {
        absent.clear();
    }
    if sources.is_empty() {
        absent.push(DefinitionError {
            location: Location::start_of("definitions"),
            excerpt: None,
            code: ErrorCode::NoDefinitions,
            message: "no definitions file is given".to_owned(),
            hint: "name the files that contain the definitions".into(),
        });
    }
    definitions.mode = mode.map_or(Mode::Standalone, |(mode, _)| mode);
    Gathered { definitions, errors, omitted, absent }
}

/// Returns how to choose one of two modes.
fn mode_hint() -> Hint {
    hint![
        "remove one of them, or choose with ",
        (Opt::Mode, "standalone"),
        " or ",
        (Opt::Mode, "coupled")
    ]
}

/// Reports a file that declares its applications in another place than the files before it.
fn check_mode(file: &mut File<'_>, first: &Option<(Mode, String)>, found: Mode, node: &Node) {
    if let Some((mode, path)) = first
        && *mode != found
    {
        file.error(
            &node.span,
            ErrorCode::ConflictingModes,
            format!("applications are declared in {found} mode here, but in {mode} mode in {path}"),
            mode_hint(),
        );
    }
}

/// Parses a file; syntax errors and duplicate top-level keys become errors of the file.
fn open(source: &SourceText) -> (File<'_>, Option<Node>) {
    let mut file = File::new(source);
    let root = parse_tree(&mut file, APPLICATIONS);
    (file, root)
}

/// Reports top-level variables that are probably typos, and returns whether there are any.
///
/// A misspelt variable would be ignored: with `enviroment`, a run could
/// provision the wrong environment.
fn check_misspelt(file: &mut File<'_>, top: &Entries<'_>, rules: &Rules) -> bool {
    let before = file.error_count();
    for Variable { name: wanted, has_type, max_edit_distance } in VARIABLES {
        if top.contains_key(wanted) {
            continue;
        }
        for (name, (key, node)) in top {
            let is_near = strsim::damerau_levenshtein(name, wanted) <= max_edit_distance;
            let is_ignored = rules.ignore_keys.iter().any(|ignored| ignored == name);
            if is_near && has_type(&node.value) && !is_ignored {
                file.error(
                    &key.span,
                    ErrorCode::MisspeltVariable,
                    format!("`{name}` is similar to `{wanted}`, and would be ignored"),
                    format!(
                        "write `{wanted}`; if only Terraform uses it, add it to `ignore_keys` in \
                         `[definitions]` of `rdsprov.toml`"
                    ),
                );
            }
        }
    }
    file.error_count() > before
}

/// Returns the top-level variables, or `None` if the tree is not a map.
fn top(root: &Node) -> Option<Entries<'_>> {
    let Value::Map(entries) = &root.value else { return None };
    Some(entries.iter().map(|(key, node)| (key.name.as_str(), (key, node))).collect())
}

/// Returns a variable that must have the same value in each file that sets it.
fn variable(files: &mut [(File<'_>, Option<Node>)], key: &str) -> Option<String> {
    let mut first: Option<(String, Location)> = None;
    for (file, root) in files {
        let Some(top) = root.as_ref().and_then(top) else { continue };
        let Some((at, node)) = given(&top, key) else { continue };
        let Some(text) = file.string(key, node).map(str::to_owned) else { continue };
        let location = file.location(&at.span);
        match &first {
            Some((other, span)) if *other != text => file.report(
                location,
                ErrorCode::ConflictingVariables,
                format!("`{key}` is {text:?} here, but {other:?} at {span}"),
                "give only files of one environment",
            ),
            Some(_) => {}
            None => first = Some((text, location)),
        }
    }
    first.map(|(text, _)| text)
}

/// Reports an error about a variable where the first file sets it.
fn report_variable(
    files: &mut [(File<'_>, Option<Node>)],
    key: &str,
    code: ErrorCode,
    message: String,
    hint: Hint,
) {
    let set = files.iter_mut().find_map(|(file, root)| {
        let node = given(&top(root.as_ref()?)?, key)?.1;
        Some((file, node))
    });
    if let Some((file, node)) = set {
        file.error(&node.span, code, message, hint);
    }
}

/// Returns the scope that the files or `rdsprov.toml` set, unless only Terraform uses the variable.
fn scope(files: &mut [(File<'_>, Option<Node>)], rules: &Rules) -> Option<String> {
    const SCOPE: &str = "scope";
    if rules.ignore_keys.iter().any(|ignored| ignored == SCOPE) {
        return rules.scope.clone();
    }
    let declared = variable(files, SCOPE);
    match (&declared, &rules.scope) {
        (Some(name), _) if let Err(error) = check_scope(name) => {
            report_variable(files, SCOPE, error.code(), error.to_string(), error.hint());
        }
        (Some(name), Some(configured)) if name != configured => {
            let file = visible(rules.config_file.as_deref().unwrap_or("rdsprov.toml"));
            let message = format!("`{SCOPE}` is {name:?} here, but {configured:?} in {file}");
            let hint = format!(
                "remove one of them; if only Terraform uses the variable, add it to \
                 `ignore_keys` in `[definitions]` of `{file}`"
            );
            report_variable(files, SCOPE, ErrorCode::ConflictingVariables, message, hint.into());
        }
        (Some(_) | None, _) => {}
    }
    declared.or_else(|| rules.scope.clone())
}

/// Reads the applications of a file, in file order.
fn applications(
    file: &mut File<'_>,
    rules: &Rules,
    defaults: &Defaults,
    pattern: Option<&Regex>,
    node: &Node,
) -> Vec<(Application, Defaults)> {
    let entries = file.map(&format!("`{APPLICATIONS}`"), node).unwrap_or_default();
    let mut in_file_order: Vec<_> = entries.into_values().collect();
    in_file_order.sort_by_key(|(key, _)| key.span.start);
    in_file_order
        .into_iter()
        .filter_map(|(key, node)| application(file, rules, defaults, pattern, key, node))
        .collect()
}

/// Where a file declares its applications.
enum ApplicationsKey<'n> {
    Applications(Mode, &'n Node),
    /// The file declares none, for the reason in `error`; `is_attempt` says whether it seems to
    /// contain a declaration that is faulty.
    Absent {
        error: DefinitionError,
        is_attempt: bool,
    },
    /// The error is in the list of the file already.
    Refused,
}

fn find_applications<'n>(
    file: &mut File<'_>,
    top: &Entries<'n>,
    rules: &Rules,
) -> ApplicationsKey<'n> {
    let standalone = given(top, APPLICATIONS);
    let config = match given(top, "rds_config") {
        // The chosen mode names the only place that is read.
        Some(_) if rules.mode == Some(Mode::Standalone) => None,
        Some((key, node)) => match file.map("`rds_config`", node) {
            Some(entries) => Some((key, entries)),
            None => return ApplicationsKey::Refused,
        },
        None => None,
    };
    let coupled = config.as_ref().and_then(|(_, entries)| given(entries, APPLICATIONS));
    let disabled = config.as_ref().and_then(|(_, entries)| {
        let (key, node) = given(entries, "enabled")?;
        match &node.value {
            Value::Bool(enabled) => (!enabled).then_some(key),
            Value::String(text) if text == "true" || text == "false" => {
                (text == "false").then_some(key)
            }
            _ => {
                file.wrong_type(
                    "`enabled`",
                    node,
                    "a bool",
                    "write enabled = true or enabled = false",
                );
                None
            }
        }
    });
    let standalone = standalone.filter(|_| rules.mode != Some(Mode::Coupled));
    match (standalone, coupled) {
        (Some(_), Some((key, _))) => {
            file.error(
                &key.span,
                ErrorCode::ConflictingModes,
                "applications are declared both at the top level and in `rds_config`",
                mode_hint(),
            );
            ApplicationsKey::Refused
        }
        (Some((_, node)), None) => ApplicationsKey::Applications(Mode::Standalone, node),
        (None, Some((_, node))) => match disabled {
            None => ApplicationsKey::Applications(Mode::Coupled, node),
            Some(key) => {
                file.error(
                    &key.span,
                    ErrorCode::DefinitionsDisabled,
                    "`rds_config` has `enabled = false`: its applications have no server",
                    format!(
                        "set `enabled = true`, or move `{APPLICATIONS}` to the top level of the file"
                    ),
                );
                ApplicationsKey::Refused
            }
        },
        (None, None) => why_absent(file, top, config.as_ref(), disabled, rules.mode),
    }
}

/// Returns the most likely reason why a file declares no applications: the key is `null`,
/// `rds_config` is disabled, or the key is misspelt.
fn why_absent(
    file: &File<'_>,
    top: &Entries<'_>,
    config: Option<&(&Key, Entries<'_>)>,
    disabled: Option<&Key>,
    wanted: Option<Mode>,
) -> ApplicationsKey<'static> {
    let absent =
        |span: &Span, code: ErrorCode, message: String, hint: String| ApplicationsKey::Absent {
            error: file.error_at(file.location(span), code, message, hint.into()),
            is_attempt: *span != (0..0),
        };
    let looked_in: Vec<&Entries<'_>> = match (wanted, config) {
        (Some(Mode::Coupled), config) => config.iter().map(|(_, entries)| entries).collect(),
        (_, config) => std::iter::once(top).chain(config.map(|(_, entries)| entries)).collect(),
    };
    if let Some((key, _)) = looked_in.iter().find_map(|entries| entries.get(APPLICATIONS)) {
        return absent(
            &key.span,
            ErrorCode::NoApplications,
            format!("`{APPLICATIONS}` is null, which means that it is not given"),
            format!("write `{APPLICATIONS} = {{}}` if there are no applications"),
        );
    }
    if let Some(key) = disabled {
        return absent(
            &key.span,
            ErrorCode::DefinitionsDisabled,
            "`rds_config` has `enabled = false`, and nothing else declares applications".to_owned(),
            "set `enabled = true`, or give the file that contains the applications".to_owned(),
        );
    }
    let missing = match wanted {
        None => {
            format!("`{APPLICATIONS}` is missing, both at the top level and in `rds_config`")
        }
        Some(Mode::Standalone) => {
            format!("`{APPLICATIONS}` is missing at the top level (standalone mode)")
        }
        Some(Mode::Coupled) => {
            format!("`{APPLICATIONS}` is missing in `rds_config` (coupled mode)")
        }
    };
    let similar = looked_in.iter().flat_map(|entries| entries.iter()).find(|(name, _)| {
        name.ends_with(APPLICATIONS) || strsim::damerau_levenshtein(name, APPLICATIONS) < 4
    });
    match similar {
        Some((name, (key, _))) => absent(
            &key.span,
            ErrorCode::NoApplications,
            missing,
            format!("rename `{name}` to `{APPLICATIONS}`"),
        ),
        None => {
            let hint =
                format!("write `{APPLICATIONS} = {{ … }}`, or `{{}}` if there are no applications");
            absent(&(0..0), ErrorCode::NoApplications, missing, hint)
        }
    }
}
