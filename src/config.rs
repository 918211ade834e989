//! What the process runs with: `rolegate.toml`, then `ROLEGATE_*` from the environment, which wins.
//!
//! A name that nothing reads is an error, in the file and in the environment: a setting with a spelling mistake must not pass for a
//! setting. Refuses to know what the settings are used for.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use tracing_subscriber::{EnvFilter, filter::LevelFilter};
use url::Url;

use crate::domain::{network::is_protected, secret::Secret};

pub use crate::domain::network::{Network, NetworkError};

/// Every setting, by its name in the file; in the environment it is `ROLEGATE_` and the name in capitals.
const NAMES: [&str; 12] = [
    "data_dir",
    "database_password_file",
    "database_pool_size",
    "database_url",
    "listen",
    "log_format",
    "log_level",
    "master_key_file",
    "open_requests_per_second",
    "outbound_networks",
    "public_url",
    "trusted_proxies",
];

/// Read by the command line itself; not a setting.
const CONFIG_VARIABLE: &str = "ROLEGATE_CONFIG";

/// What stands in front of every variable.
const PREFIX: &str = "ROLEGATE_";

/// The test suite's own variables; a gateway that it starts inherits them.
const TEST_PREFIX: &str = "ROLEGATE_TEST_";

/// The resolved settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// May hold a password.
    pub database_url: Secret<String>,
    pub database_pool_size: u32,
    pub listen: SocketAddr,
    /// How browsers and identity providers reach the gateway; no slash at the end.
    pub public_url: PublicUrl,
    /// Where the database and the master key lie unless they are named.
    pub data_dir: PathBuf,
    pub master_key_file: PathBuf,
    pub log_format: LogFormat,
    /// As `tracing` filters are written: `info`, or `warn,rolegate=debug`.
    pub log_level: String,
    /// Proxies whose forwarded client address counts; none by default.
    pub trusted_proxies: Vec<Network>,
    /// Of one client address, at routes that ask nothing of their caller; 0: without limit.
    pub open_requests_per_second: u32,
    /// Private, loopback and link-local networks that the gateway may fetch from all the same; none by default.
    pub outbound_networks: Vec<Network>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path} cannot be read", path = path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path}, line {line}: {why}", path = path.display())]
    Syntax { path: PathBuf, line: usize, why: String },
    #[error("{place}: there is no setting {name:?}; the nearest is {nearest:?}")]
    Unknown { place: String, name: String, nearest: String },
    #[error("{place}: {name}: {why}")]
    Value { place: String, name: &'static str, why: String },
}

/// Where the gateway is reached: `https`, or plain `http` on the machine itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(Url);

impl PublicUrl {
    /// # Errors
    /// In words, when the address is none that identity providers may be given.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("{text:?} is not an address: {error}"))?;
        if url.host().is_none() {
            return Err(format!("{text:?} names no host"));
        }
        if !is_protected(&url) {
            return Err(format!(
                "{text:?} is not https; plain http is for loopback hosts only: set public_url to the https address of the gateway"
            ));
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(format!("{text:?} must be a scheme, a host and at most a path"));
        }
        Ok(Self(url))
    }

    /// The address of a path below, which begins with a slash.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.as_str())
    }

    /// Without a slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// As browsers write it into `Origin`: scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// What stands before every path of ours on its host: nothing, or a path without a slash at the end.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.0.path().trim_end_matches('/')
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One setting as it was written, and where.
struct Written {
    text: String,
    place: String,
}

type Settings = BTreeMap<&'static str, Written>;

impl Config {
    /// Reads `path`, or `rolegate.toml` if it is there, and the environment of the process.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let standard = Path::new("rolegate.toml");
        let path = path.or_else(|| standard.exists().then_some(standard));
        let text = path.map(|path| read(path).map(|text| (path, text))).transpose()?;
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())));
        Self::resolve(text.as_ref().map(|(path, text)| (*path, text.as_str())), variables, &|path| std::fs::read_to_string(path))
    }

    /// As [`Config::load`], with everything handed in: the file's path and text, the environment, and how the password's file is read.
    pub fn resolve(
        file: Option<(&Path, &str)>,
        variables: impl IntoIterator<Item = (String, String)>,
        read_secret: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Result<Self, ConfigError> {
        let mut settings = Settings::new();
        if let Some((path, text)) = file {
            from_file(path, text, &mut settings)?;
        }
        from_environment(variables, &mut settings)?;

        let data_dir: PathBuf = take(&settings, "data_dir", PathBuf::from("."))?;
        let listen = take(&settings, "listen", SocketAddr::from(([127, 0, 0, 1], 8080)))?;
        let mut database_url = take(&settings, "database_url", format!("sqlite://{}", default_path(&data_dir, "rolegate.db").display()))?;
        if let Some(written) = settings.get("database_password_file") {
            let refused = |why| refuse(written, "database_password_file", why);
            let password =
                read_secret(Path::new(&written.text)).map_err(|error| refused(format!("{} cannot be read: {error}", written.text)))?;
            database_url = with_password(&database_url, password.trim_end_matches(['\r', '\n'])).map_err(refused)?;
        }
        let public_url = match settings.get("public_url") {
            Some(written) => PublicUrl::parse(&written.text).map_err(|why| refuse(written, "public_url", why))?,
            None => PublicUrl::parse(&format!("http://{listen}")).map_err(|why| ConfigError::Value {
                place: "default".to_owned(),
                name: "public_url",
                why,
            })?,
        };
        let config = Self {
            database_url: Secret::new(database_url),
            database_pool_size: take(&settings, "database_pool_size", 10)?,
            listen,
            public_url,
            master_key_file: take(&settings, "master_key_file", default_path(&data_dir, "certs/master.key"))?,
            data_dir,
            log_format: take(&settings, "log_format", LogFormat::Text)?,
            log_level: take(&settings, "log_level", "info".to_owned())?,
            trusted_proxies: take(&settings, "trusted_proxies", Networks(Vec::new()))?.0,
            open_requests_per_second: take(&settings, "open_requests_per_second", 50)?,
            outbound_networks: take(&settings, "outbound_networks", Networks(Vec::new()))?.0,
        };
        if config.database_pool_size == 0 {
            return Err(refuse(&settings["database_pool_size"], "database_pool_size", "at least 1 connection is needed".to_owned()));
        }
        if let (Err(why), Some(written)) = (check_log_level(&config.log_level), settings.get("log_level")) {
            return Err(refuse(written, "log_level", why));
        }
        Ok(config)
    }

    /// The database's address without its password.
    #[must_use]
    pub fn database_shown(&self) -> String {
        let address = self.database_url.expose();
        let Ok(mut url) = Url::parse(address) else { return "***".to_owned() };
        if url.password().is_none() {
            return address.clone();
        }
        url.set_password(Some("***")).map_or_else(|()| "***".to_owned(), |()| url.to_string())
    }
}

/// A word alone would be taken for the name of a module, and `loud` would log nothing but that.
fn check_log_level(text: &str) -> Result<(), String> {
    let expected = "off, error, warn, info, debug or trace was expected, or such as warn,rolegate=debug";
    let is_level = |part: &str| part.contains(['=', '[', ']']) || part.trim().parse::<LevelFilter>().is_ok();
    match text.split(',').find(|part| !is_level(part)) {
        Some(part) => Err(format!("{part:?} is no level: {expected}")),
        None => EnvFilter::try_new(text).map(|_| ()).map_err(|error| format!("{error}: {expected}")),
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

/// `./name` would only be noise in messages.
fn default_path(data_dir: &Path, name: &str) -> PathBuf {
    if data_dir == Path::new(".") { PathBuf::from(name) } else { data_dir.join(name) }
}

fn with_password(address: &str, password: &str) -> Result<String, String> {
    let not_postgres = || "only a postgres://… database_url takes a password".to_owned();
    let mut url = Url::parse(address).map_err(|_| not_postgres())?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(not_postgres());
    }
    url.set_password(Some(password)).map_err(|()| "database_url names no host".to_owned())?;
    Ok(url.to_string())
}

fn from_file(path: &Path, text: &str, settings: &mut Settings) -> Result<(), ConfigError> {
    let line_of = |offset: usize| 1 + text.get(..offset).unwrap_or(text).matches('\n').count();
    let table = toml::de::DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: line_of(error.span().map_or(0, |span| span.start)),
        why: error.message().to_owned(),
    })?;
    for (key, value) in table.get_ref() {
        let place = format!("{}, line {}", path.display(), line_of(key.span().start));
        let name = known(key.get_ref()).ok_or_else(|| ConfigError::Unknown {
            place: place.clone(),
            name: key.get_ref().to_string(),
            nearest: nearest(key.get_ref()).to_owned(),
        })?;
        let text = plain(value.get_ref()).ok_or_else(|| ConfigError::Value {
            place: place.clone(),
            name,
            why: "a text, a number or a list of texts was expected".to_owned(),
        })?;
        settings.insert(name, Written { text, place });
    }
    Ok(())
}

/// A value as the environment would say it; lists are separated by commas there.
fn plain(value: &toml::de::DeValue<'_>) -> Option<String> {
    use toml::de::DeValue;
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Array(values) => {
            let texts: Option<Vec<_>> = values.iter().map(|value| value.get_ref().as_str()).collect();
            texts.map(|texts| texts.join(","))
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

fn from_environment(variables: impl IntoIterator<Item = (String, String)>, settings: &mut Settings) -> Result<(), ConfigError> {
    for (variable, text) in variables {
        let Some(rest) = variable.strip_prefix(PREFIX) else { continue };
        if variable == CONFIG_VARIABLE || variable.starts_with(TEST_PREFIX) || is_kubernetes_service(rest) {
            continue;
        }
        let shown = |name: &str| format!("{PREFIX}{}", name.to_ascii_uppercase());
        let name = known(&rest.to_ascii_lowercase()).filter(|name| shown(name) == variable).ok_or_else(|| ConfigError::Unknown {
            place: "environment".to_owned(),
            name: variable.clone(),
            nearest: shown(nearest(&rest.to_ascii_lowercase())),
        })?;
        settings.insert(name, Written { text, place: variable });
    }
    Ok(())
}

/// Kubernetes: a service named `rolegate` puts `ROLEGATE_SERVICE_HOST`, `ROLEGATE_PORT_8080_TCP` … into the pods beside it.
fn is_kubernetes_service(rest: &str) -> bool {
    rest == "PORT" || rest.starts_with("PORT_") || rest == "SERVICE_HOST" || rest.starts_with("SERVICE_PORT")
}

fn known(name: &str) -> Option<&'static str> {
    NAMES.into_iter().find(|known| *known == name)
}

fn nearest(name: &str) -> &'static str {
    let nearness = |known: &&str| strsim::jaro_winkler(known, name);
    NAMES.into_iter().max_by(|a, b| nearness(a).total_cmp(&nearness(b))).unwrap_or_default()
}

fn refuse(written: &Written, name: &'static str, why: String) -> ConfigError {
    ConfigError::Value { place: written.place.clone(), name, why }
}

fn take<T: FromStr<Err: fmt::Display>>(settings: &Settings, name: &'static str, default: T) -> Result<T, ConfigError> {
    settings.get(name).map_or(Ok(default), |written| {
        written.text.parse().map_err(|error| refuse(written, name, format!("{:?} was not understood: {error}", written.text)))
    })
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("text or json was expected"),
        }
    }
}

struct Networks(Vec<Network>);

impl FromStr for Networks {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(file: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::resolve(Some((Path::new("rolegate.toml"), file)), variables, &|path| {
            if path == Path::new("/run/secrets/db") { Ok("p@ss word\n".to_owned()) } else { Err(io::ErrorKind::NotFound.into()) }
        })
    }

    #[test]
    fn nothing_set_is_a_gateway_on_loopback_with_an_embedded_database() {
        let config = resolve(
            "",
            &[
                ("PATH", "/bin"),
                ("ROLEGATE_CONFIG", "x.toml"),
                ("ROLEGATE_TEST_POSTGRES", "postgres://x"),
                ("ROLEGATE_SERVICE_HOST", "10.0.0.1"),
            ],
        )
        .unwrap();
        assert_eq!(config.database_url.expose(), "sqlite://rolegate.db");
        assert_eq!(config.public_url.as_str(), "http://127.0.0.1:8080");
        assert_eq!(config.master_key_file, Path::new("certs/master.key"));
        assert!(config.trusted_proxies.is_empty());
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let file =
            "listen = '127.0.0.1:9000'\ndata_dir = '/var/lib/rolegate'\ntrusted_proxies = ['10.0.0.0/8', '::1']\ndatabase_pool_size = 4\n";
        let config = resolve(file, &[("ROLEGATE_LISTEN", "127.0.0.1:9001"), ("ROLEGATE_LOG_FORMAT", "json")]).unwrap();
        assert_eq!(config.listen.port(), 9001);
        assert_eq!(config.log_format, LogFormat::Json);
        assert_eq!(config.database_pool_size, 4);
        assert_eq!(config.trusted_proxies.len(), 2);
        assert_eq!(config.database_url.expose(), "sqlite:///var/lib/rolegate/rolegate.db");
        assert_eq!(config.master_key_file, Path::new("/var/lib/rolegate/certs/master.key"));
    }

    #[test]
    fn a_password_comes_from_its_file_and_is_not_shown() {
        let url = ("ROLEGATE_DATABASE_URL", "postgres://rolegate@db/rolegate");
        let config = resolve("", &[url, ("ROLEGATE_DATABASE_PASSWORD_FILE", "/run/secrets/db")]).unwrap();
        assert_eq!(config.database_url.expose(), "postgres://rolegate:p%40ss%20word@db/rolegate");
        assert_eq!(config.database_shown(), "postgres://rolegate:***@db/rolegate");
        assert!(!format!("{config:?}").contains("p%40ss"));
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_place() {
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
        let cases: &[Case<'_>] = &[
            ("\nlisten_on = 1\n", &[], r#"rolegate.toml, line 2: there is no setting "listen_on"; the nearest is "listen""#),
            ("", &[("ROLEGATE_LISTN", "x")], r#"environment: there is no setting "ROLEGATE_LISTN"; the nearest is "ROLEGATE_LISTEN""#),
            ("", &[("ROLEGATE_listen", "x")], r#"environment: there is no setting "ROLEGATE_listen"; the nearest is "ROLEGATE_LISTEN""#),
            ("listen = true", &[], r#"rolegate.toml, line 1: listen: "true" was not understood: invalid socket address syntax"#),
            ("listen = 1.5", &[], "rolegate.toml, line 1: listen: a text, a number or a list of texts was expected"),
            ("listen = ", &[], "rolegate.toml, line 1: "),
            ("database_pool_size = 0", &[], "at least 1 connection"),
            ("", &[("ROLEGATE_LOG_LEVEL", "rolegate=loud")], "ROLEGATE_LOG_LEVEL: log_level: "),
            ("log_level = 'loud'", &[], "rolegate.toml, line 1: log_level: \"loud\" is no level: off, error, warn"),
            ("log_level = 'warn,rolegate'", &[], "\"rolegate\" is no level"),
            ("", &[("ROLEGATE_LOG_FORMAT", "xml")], "text or json was expected"),
            ("", &[("ROLEGATE_TRUSTED_PROXIES", "10.0.0.0/8,proxy")], "not a network"),
            ("database_password_file = '/run/secrets/db'", &[], "only a postgres://"),
            ("database_password_file = '/nowhere'", &[], "/nowhere cannot be read"),
        ];
        for (file, variables, expected) in cases {
            let message = resolve(file, variables).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}\n  should say\n{expected}");
        }
    }

    #[test]
    fn the_public_address_is_https_or_loopback() {
        for fine in ["https://id.example", "https://id.example/gate/", "http://localhost:8080", "http://127.0.0.1", "http://[::1]:1"] {
            assert!(PublicUrl::parse(fine).is_ok(), "{fine}");
        }
        for wrong in ["http://id.example", "http://0.0.0.0:8080", "ftp://localhost", "id.example", "https://a@id.example", "https://x/?a=b"]
        {
            assert!(PublicUrl::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(PublicUrl::parse("https://id.example/gate/").unwrap().join("/me"), "https://id.example/gate/me");
        assert!(resolve("listen = '0.0.0.0:8080'", &[]).unwrap_err().to_string().contains("set public_url"));
    }
}
