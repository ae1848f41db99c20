//! `rdsprov.Definitions`: definitions and the texts that they were read from.
//!
//! The texts are kept, because another environment or configuration has other rules and defaults: the definitions
//! are then read again.

use std::path::PathBuf;

use pyo3::basic::CompareOp;
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyIterator, PyList, PyTuple};
use pythonize::pythonize;
use rdsprov_core::config::Config;
use rdsprov_core::definitions::{self as core, SourceText, Syntax};
use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::session::{self, ConfigText, DefinitionOptions, Setup, SetupBuilder};
use rdsprov_core::text::pretty_json;
use serde_json::{Map, Value};

use crate::errors;
use crate::mapping;
use crate::options;
use crate::values;

/// The applications that definitions files or Python objects declare.
///
/// `from_path`, `from_text`, `from_mapping` and `from_applications` read it.
/// Iterating over it gives its applications; `definitions["shop"]` is the one with that name.
/// It is immutable.
///
/// For example::
///
///     >>> definitions = rdsprov.Definitions.from_mapping({
///     ...     "environment": "dev",
///     ...     "application_databases": {
///     ...         "shop": {"database_name": "shop", "username": "shop_owner"},
///     ...     },
///     ... })
///     >>> definitions["shop"].username
///     'shop_owner'
#[pyclass(frozen, module = "rdsprov")]
pub struct Definitions {
    pub read: core::Definitions,
    sources: Vec<SourceText>,
    options: DefinitionOptions,
    config: Option<ConfigText>,
    applications: PyOnceLock<Py<PyTuple>>,
}

/// The arguments that all constructors have in common.
struct Reading {
    environment: Option<String>,
    mode: Option<String>,
    adopt: Vec<String>,
    config: Option<PathBuf>,
}

impl Reading {
    fn prepare(self, py: Python<'_>) -> PyResult<(DefinitionOptions, Option<ConfigText>)> {
        let mode = self.mode.map(|text| text.parse()).transpose();
        let mode = mode.map_err(|error: String| errors::usage(py, &error))?;
        let options = definition_options(self.environment, mode, self.adopt);
        let config = match self.config {
            Some(path) => Some(path),
            None => options::variable(py, "config")?.map(PathBuf::from),
        };
        let config =
            ConfigText::read(config.as_deref()).map_err(|e| errors::to_exception(py, &e))?;
        Ok((options, config))
    }
}

fn definition_options(
    environment: Option<String>,
    mode: Option<core::Mode>,
    adopt: Vec<String>,
) -> DefinitionOptions {
    let mut options = DefinitionOptions::default();
    options.environment = environment;
    options.mode = mode;
    options.adopt = adopt;
    options
}

fn parsed(config: Option<&ConfigText>) -> Result<Config, session::Error> {
    config.map_or_else(|| Ok(Config::default()), ConfigText::parse)
}

impl Definitions {
    fn new(
        sources: Vec<SourceText>,
        options: DefinitionOptions,
        config: Option<ConfigText>,
    ) -> Result<Self, session::Error> {
        let read = session::parse_definitions(&parsed(config.as_ref())?, &sources, &options)?;
        Ok(Self { read, sources, options, config, applications: PyOnceLock::new() })
    }

    fn from_value(
        py: Python<'_>,
        mut value: Value,
        options: DefinitionOptions,
        config: Option<ConfigText>,
    ) -> PyResult<Self> {
        applications_by_name(&mut value).map_err(|problem| {
            errors::no_definitions(py, problem.code, &problem.fact, problem.hint)
        })?;
        let source = SourceText {
            path: "<mapping>".to_owned(),
            text: format!("{value:#}"),
            syntax: Syntax::Json,
        };
        Self::new(vec![source], options, config).map_err(|error| errors::to_exception(py, &error))
    }

    /// Returns the inputs of a session. The arguments take precedence over those of the constructor.
    pub fn builder(
        &self,
        environment: Option<String>,
        adopt: &[String],
        config: Option<ConfigText>,
    ) -> Result<SetupBuilder, session::Error> {
        let config = config.or_else(|| self.config.clone());
        let options = self.options_with(environment, adopt);
        let environment_of = |options: &DefinitionOptions| {
            options.environment.clone().or_else(|| self.read.environment.clone())
        };
        // The same rules give the same definitions: they need not be read again.
        let is_read = config == self.config
            && options.adopt == self.options.adopt
            && environment_of(&options) == environment_of(&self.options);
        let builder = Setup::builder().config(parsed(config.as_ref())?).options(options);
        Ok(if is_read {
            builder.parsed(self.read.clone(), &self.sources)
        } else {
            builder.texts(self.sources.clone())
        })
    }

    /// Returns the setup of a session. The arguments take precedence over those of the constructor.
    pub fn setup(
        &self,
        environment: Option<String>,
        adopt: &[String],
        config: Option<ConfigText>,
    ) -> Result<Setup, session::Error> {
        self.builder(environment, adopt, config)?.build()
    }

    /// Returns the definitions, read and validated for an environment if there is one.
    pub fn in_environment(
        &self,
        environment: Option<String>,
        adopt: &[String],
        config: Option<ConfigText>,
    ) -> Result<Self, session::Error> {
        let config = config.or_else(|| self.config.clone());
        let mut options = self.options_with(environment, adopt);
        let read =
            session::parse_for_environment(&parsed(config.as_ref())?, &self.sources, &options)?;
        options.environment.clone_from(&read.environment);
        let sources = self.sources.clone();
        Ok(Self { read, sources, options, config, applications: PyOnceLock::new() })
    }

    /// Returns the options of the constructor, combined with those of a call.
    fn options_with(&self, environment: Option<String>, adopt: &[String]) -> DefinitionOptions {
        let mut options = self.options.clone();
        options.environment = environment.or(options.environment);
        options.adopt.extend_from_slice(adopt);
        options
    }

    fn json(&self) -> String {
        serde_json::to_string(&self.read).unwrap_or_default()
    }

    fn tuple<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyTuple>> {
        let make = || {
            let of = self.read.applications.values();
            values::values(py, "_application", of).map(Bound::unbind)
        };
        self.applications.get_or_try_init(py, make).map(|tuple| tuple.bind(py))
    }
}

/// Converts sequences of named applications to mappings by name, and removes names that repeat the key.
fn applications_by_name(value: &mut Value) -> Result<(), ListProblem> {
    let Value::Object(top) = value else { return Ok(()) };
    let coupled = top.get_mut("rds_config").and_then(|config| config.get_mut(APPLICATIONS));
    let coupled = coupled.map(index_by_name).transpose();
    let standalone = top.get_mut(APPLICATIONS).map(index_by_name).transpose();
    coupled.and(standalone).map(drop)
}

const APPLICATIONS: &str = "application_databases";

/// A list of applications that cannot be turned into a mapping.
struct ListProblem {
    code: ErrorCode,
    fact: String,
    hint: &'static str,
}

fn index_by_name(applications: &mut Value) -> Result<(), ListProblem> {
    if let Value::Array(entries) = applications {
        let mut named = Map::new();
        for (number, entry) in std::mem::take(entries).into_iter().enumerate() {
            let name = NAMES.iter().find_map(|key| entry.get(key)?.as_str().map(str::to_owned));
            let name = name.ok_or_else(|| ListProblem {
                code: ErrorCode::MissingKey,
                fact: format!("`{APPLICATIONS}[{number}]` has no name"),
                hint: "add the key `name`, or use a mapping with the names as keys",
            })?;
            if named.contains_key(&name) {
                return Err(ListProblem {
                    code: ErrorCode::DuplicateApplication,
                    fact: format!("application `{name}` is declared twice"),
                    hint: "give each application its own name",
                });
            }
            named.insert(name, entry);
        }
        *applications = Value::Object(named);
    }
    let Value::Object(named) = applications else { return Ok(()) };
    for (name, entry) in named {
        let Value::Object(entry) = entry else { continue };
        for key in NAMES {
            if entry.get(key).and_then(Value::as_str) == Some(name.as_str()) {
                entry.remove(key);
            }
        }
    }
    Ok(())
}

/// The keys with which an application can give its own name.
const NAMES: [&str; 2] = ["name", "application"];

#[pymethods]
impl Definitions {
    /// Reads `*.tfvars`, `*.tfvars.json`, `*.json` and `*.toml` files as one; without paths, the files that
    /// `rdsprov.toml` names.
    #[staticmethod]
    #[pyo3(signature = (*paths, environment=None, mode=None, adopt=Vec::new(), config=None))]
    fn from_path(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        environment: Option<String>,
        mode: Option<String>,
        adopt: Vec<String>,
        config: Option<PathBuf>,
    ) -> PyResult<Self> {
        let (options, config) = Reading { environment, mode, adopt, config }.prepare(py)?;
        let read = py.detach(|| {
            let sources = session::read(&paths, &parsed(config.as_ref())?, &options)?;
            Self::new(sources, options, config)
        });
        read.map_err(|error| errors::to_exception(py, &error))
    }

    /// Reads a text in the syntax `hcl` (that of `*.tfvars`), `json` or `toml`; errors name it `path`.
    #[staticmethod]
    #[pyo3(signature = (text, *, syntax="hcl", path="<text>", environment=None, mode=None, adopt=Vec::new(), config=None))]
    #[allow(clippy::too_many_arguments, reason = "they are keywords")]
    fn from_text(
        py: Python<'_>,
        text: String,
        syntax: &str,
        path: &str,
        environment: Option<String>,
        mode: Option<String>,
        adopt: Vec<String>,
        config: Option<PathBuf>,
    ) -> PyResult<Self> {
        let (options, config) = Reading { environment, mode, adopt, config }.prepare(py)?;
        let syntax = syntax.parse().map_err(|error: String| errors::usage(py, &error))?;
        let source = SourceText { path: path.to_owned(), text, syntax };
        Self::new(vec![source], options, config).map_err(|error| errors::to_exception(py, &error))
    }

    /// Reads a mapping with the same keys as a file, or an object with the same attributes. It can contain
    /// dataclasses, models of pydantic or attrs, and named tuples.
    #[staticmethod]
    #[pyo3(signature = (mapping, *, environment=None, mode=None, adopt=Vec::new(), config=None))]
    fn from_mapping(
        mapping: &Bound<'_, PyAny>,
        environment: Option<String>,
        mode: Option<String>,
        adopt: Vec<String>,
        config: Option<PathBuf>,
    ) -> PyResult<Self> {
        let py = mapping.py();
        let (options, config) = Reading { environment, mode, adopt, config }.prepare(py)?;
        let value = mapping::to_json(mapping, "the mapping")?;
        Self::from_value(py, value, options, config)
    }

    /// Reads applications from an iterable of `Application` objects, mappings or other objects, each with a `name`.
    #[staticmethod]
    #[pyo3(signature = (applications, *, environment=None, aws_region=None, scope=None, adopt=Vec::new(), config=None))]
    fn from_applications(
        applications: &Bound<'_, PyAny>,
        environment: Option<String>,
        aws_region: Option<String>,
        scope: Option<String>,
        adopt: Vec<String>,
        config: Option<PathBuf>,
    ) -> PyResult<Self> {
        let py = applications.py();
        let reading = Reading { environment: environment.clone(), mode: None, adopt, config };
        let (options, config) = reading.prepare(py)?;
        let listed = applications.try_iter()?.collect::<PyResult<Vec<_>>>()?;
        let mut top = Map::new();
        top.insert("environment".to_owned(), environment.into());
        top.insert("aws_region".to_owned(), aws_region.into());
        if let Some(scope) = scope {
            top.insert("scope".to_owned(), scope.into());
        }
        let listed = PyList::new(py, listed)?;
        top.insert(APPLICATIONS.to_owned(), mapping::to_json(&listed, "the applications")?);
        Self::from_value(py, Value::Object(top), options, config)
    }

    /// The name of the environment, or `None` if it is not known.
    #[getter]
    fn environment(&self) -> Option<&str> {
        self.options.environment.as_deref().or(self.read.environment.as_deref())
    }

    /// The AWS region, or `None` if the definitions do not name it.
    #[getter]
    fn aws_region(&self) -> Option<&str> {
        self.read.aws_region.as_deref()
    }

    /// The scope, or `None` if neither the definitions nor the configuration name it.
    #[getter]
    fn scope(&self) -> Option<&str> {
        self.read.scope.as_deref()
    }

    /// The mode: where `application_databases` is in the definitions.
    #[getter]
    fn mode<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        values::value(py, "Mode", &self.read.mode)
    }

    /// The applications, sorted by name.
    #[getter]
    fn applications<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.tuple(py).cloned()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.tuple(py)?.try_iter()
    }

    fn __len__(&self) -> usize {
        self.read.applications.len()
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> bool {
        let Ok(name) = name.extract::<String>() else { return false };
        self.read.applications.keys().any(|key| key.as_str() == name)
    }

    fn __getitem__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let index = self.read.applications.keys().position(|key| key.as_str() == name);
        let index = index.ok_or_else(|| PyKeyError::new_err(name.to_owned()))?;
        self.tuple(py)?.get_item(index)
    }

    /// Returns plain data, as `rdsprov validate --format json` prints it.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, &self.read)?)
    }

    /// Returns the definitions as JSON text.
    fn to_json(&self) -> String {
        pretty_json(&self.read).unwrap_or_default()
    }

    fn __repr__(&self) -> String {
        let names: Vec<&str> = self.read.applications.keys().map(|name| name.as_str()).collect();
        let environment = self.environment().map_or("None".to_owned(), |name| format!("'{name}'"));
        format!("<Definitions environment={environment} applications=[{}]>", names.join(", "))
    }

    fn __richcmp__(&self, other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<Py<PyAny>> {
        let py = other.py();
        options::equality(
            py,
            op,
            other.cast::<Self>().ok().map(|other| self.json() == other.get().json()),
        )
    }

    fn __hash__(&self) -> u64 {
        options::hash_text(&self.json())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, DefinitionsState)> {
        let text_of =
            |one: &SourceText| (one.path.clone(), one.text.clone(), one.syntax.to_string());
        let state = (
            self.sources.iter().map(text_of).collect(),
            self.options.environment.clone(),
            self.options.mode.map(|mode| mode.to_string()),
            self.options.adopt.clone(),
            self.config.as_ref().map(|config| (config.path.clone(), config.text.clone())),
        );
        Ok((options::restore_function(py, "restore_definitions")?, state))
    }
}

/// The pickled state: the texts with paths and syntaxes, the options, and the configuration file.
type DefinitionsState = (
    Vec<(String, String, String)>,
    Option<String>,
    Option<String>,
    Vec<String>,
    Option<(PathBuf, String)>,
);

/// Restores pickled definitions by reading their texts again.
#[pyfunction]
pub fn restore_definitions(
    py: Python<'_>,
    sources: Vec<(String, String, String)>,
    environment: Option<String>,
    mode: Option<String>,
    adopt: Vec<String>,
    config: Option<(PathBuf, String)>,
) -> PyResult<Definitions> {
    let wrong = |error: String| errors::usage(py, &error);
    let source = |(path, text, syntax): (String, String, String)| {
        Ok(SourceText { path, text, syntax: syntax.parse()? })
    };
    let sources = sources.into_iter().map(source).collect::<Result<_, String>>().map_err(wrong)?;
    let mode = mode.map(|text| text.parse()).transpose().map_err(wrong)?;
    let options = definition_options(environment, mode, adopt);
    let config = config.map(|(path, text)| ConfigText { path, text });
    Definitions::new(sources, options, config).map_err(|error| errors::to_exception(py, &error))
}
