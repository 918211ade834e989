//! Where the demo lives: a directory of its own with the sample tenant's files, and a configuration that nothing from outside touches.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use crate::{app::Random, cli::Failure, config::Config};

const TENANT: &str = include_str!("tenant.toml");

/// A directory that is empty at first; one that was made for the demo vanishes with the value.
pub struct Place {
    path: PathBuf,
    temporary: bool,
}

impl Place {
    pub fn make(named: Option<PathBuf>, random: &Random) -> Result<Self, Failure> {
        let temporary = named.is_none();
        let path = named.unwrap_or_else(|| std::env::temp_dir().join(format!("rolegate-demo-{:016x}", u64::from_be_bytes(random.bytes()))));
        let failed = |error: io::Error| Failure::new(format!("{}: {error}", path.display()));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        if fs::read_dir(&path).map_err(failed)?.next().is_some() {
            return Err(Failure::new(format!("{} is not empty: the demo begins in an empty directory", path.display())));
        }
        Ok(Self { path, temporary })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the sample tenant and its identity provider's metadata beside each other; the tenant's file.
    pub fn write_tenant(&self, metadata: &str) -> Result<PathBuf, Failure> {
        let file = self.path.join("acme.toml");
        let failed = |error: io::Error| Failure::new(format!("{}: {error}", self.path.display()));
        fs::write(self.path.join("demo-idp.xml"), metadata).map_err(failed)?;
        fs::write(&file, TENANT).map_err(failed)?;
        Ok(file)
    }

    /// Neither `rolegate.toml` nor the environment has a say: a demo must not end up in somebody's database.
    pub fn config(&self, listen: SocketAddr) -> Result<Config, Failure> {
        let variables =
            [("DATA_DIR", self.path.display().to_string()), ("LISTEN", listen.to_string()), ("PUBLIC_URL", format!("http://{listen}"))];
        let variables = variables.map(|(name, value)| (format!("ROLEGATE_{name}"), value));
        Ok(Config::resolve(None, variables, &|path| fs::read_to_string(path))?)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, "the demo's directory could not be removed");
        }
    }
}
