//! `Dockerfile` and `docker-compose.yml` fit what they run: the image is made of all that the program is made of, and the settings that
//! they hand in are settings.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Component, Path, PathBuf},
    process::Command,
};

use rolegate::{
    config::Config,
    db::{Db, PoolSize},
};
use url::Url;

use crate::common::engines;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// What the build stage copies from the checkout.
fn copied() -> Vec<PathBuf> {
    let dockerfile = read("Dockerfile");
    let lines = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|rest| !rest.starts_with("--from"));
    let sources = lines.flat_map(|rest| {
        let words: Vec<_> = rest.split_whitespace().map(PathBuf::from).collect();
        words[..words.len() - 1].to_vec()
    });
    sources.collect()
}

/// `folder/../name` without the detour.
fn straight(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut straight, part| {
        match part {
            Component::ParentDir => {
                straight.pop();
            }
            part => straight.push(part),
        }
        straight
    })
}

/// The files that the sources, without their tests, take in as text.
fn included() -> Vec<PathBuf> {
    let mut open = vec![root().join("src")];
    let mut included = vec![];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for argument in code.split("include_str!(\"").skip(1) {
            let name = argument.split('"').next().unwrap();
            included.push(straight(&path.strip_prefix(root()).unwrap().parent().unwrap().join(name)));
        }
    }
    included
}

#[test]
fn the_image_is_built_from_all_that_the_program_is_made_of() {
    let copied = copied();
    let missing: Vec<_> = copied.iter().filter(|path| !root().join(path).exists()).collect();
    assert!(missing.is_empty(), "the Dockerfile copies what is not there: {missing:?}");
    let included = included();
    assert!(included.len() > 10, "migrations, presets and the style sheet at least: {included:?}");
    // Templates are found by askama, in the folder of that name.
    let needed = ["Cargo.toml", "Cargo.lock", "src", "templates", "scripts/install.sh"].map(PathBuf::from).into_iter().chain(included);
    let left_out: Vec<_> = needed.filter(|path| !copied.iter().any(|copied| path.starts_with(copied))).collect();
    assert!(left_out.is_empty(), "the Dockerfile leaves out {left_out:?}");
    let ignored = read(".dockerignore");
    let ignored: Vec<_> = ignored.lines().filter(|line| copied.iter().any(|path| path.starts_with(line))).collect();
    assert!(ignored.is_empty(), "what the Dockerfile copies is kept from it by .dockerignore: {ignored:?}");
}

/// `NAME=value` of the image, then `NAME: value` of the compose file, which wins. A value that has a default is taken by it.
fn settings() -> Vec<(String, String)> {
    let dockerfile = read("Dockerfile");
    let image = dockerfile.lines().filter_map(|line| line.trim_start_matches("ENV").trim().trim_end_matches(" \\").split_once('='));
    let compose = read("docker-compose.yml");
    let services = compose.lines().filter_map(|line| line.trim().split_once(": "));
    let settings = image.chain(services).filter(|(name, _)| name.starts_with("ROLEGATE_"));
    let value = |written: &str| match written.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        Some(variable) => variable.split_once(":-").map_or("https://roles.example.com", |(_, default)| default).to_owned(),
        None => written.to_owned(),
    };
    settings.map(|(name, written)| (name.to_owned(), value(written))).collect()
}

#[test]
fn the_settings_of_the_containers_are_settings_and_fit_their_network() {
    let settings = settings();
    assert!(settings.len() >= 8, "{settings:?}");
    let secrets =
        |path: &Path| if path.starts_with("/run/secrets") { Ok("secret\n".to_owned()) } else { Err(io::ErrorKind::NotFound.into()) };
    let config = Config::resolve(None, settings, &secrets).unwrap();
    assert_eq!(config.database_shown(), "postgres://rolegate:***@database/rolegate");
    assert!(config.master_key_file.starts_with("/run/secrets"));

    let (dockerfile, compose) = (read("Dockerfile"), read("docker-compose.yml"));
    let port = config.listen.port();
    assert!(config.listen.ip().is_unspecified(), "else nobody outside of the container reaches it");
    assert!(dockerfile.contains(&format!("\nEXPOSE {port}\n")));
    assert!(dockerfile.contains(&format!("http://127.0.0.1:{port}/health/live")));
    assert!(compose.contains(&format!("http://127.0.0.1:{port}/health/ready")));
    assert!(compose.contains(&format!("ports: [\"127.0.0.1:8080:{port}\"]")));

    // Whom the proxy on the host asks as: the gateway of the network by which the port is published.
    let gateway = compose.lines().find_map(|line| line.trim().strip_prefix("gateway: ")).unwrap().parse().unwrap();
    assert!(config.trusted_proxies.iter().any(|network| network.contains(gateway)), "{:?}", config.trusted_proxies);
}

/// The value of a line `name: value` of the compose file.
fn compose_value(name: &str) -> String {
    let compose = read("docker-compose.yml");
    let found = compose.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": ").map(str::to_owned));
    found.unwrap_or_else(|| panic!("docker-compose.yml has no {name}"))
}

#[test]
fn the_compose_file_gives_the_gateway_a_role_of_its_own() {
    let gateway = Url::parse(&compose_value("ROLEGATE_DATABASE_URL")).unwrap();
    assert_ne!(gateway.username(), compose_value("POSTGRES_USER"), "the image makes POSTGRES_USER a superuser");
    assert_ne!(compose_value("GATEWAY_PASSWORD_FILE"), compose_value("POSTGRES_PASSWORD_FILE"));
    assert_eq!(compose_value("ROLEGATE_DATABASE_PASSWORD_FILE"), compose_value("GATEWAY_PASSWORD_FILE"));
    let script = "scripts/container-database.sh";
    assert!(read("docker-compose.yml").contains(&format!("./{script}:/docker-entrypoint-initdb.d/")));
    assert!(read(script).contains(&format!("${{GATEWAY_DATABASE:-{}}}", gateway.username())));
    assert_eq!(gateway.path(), format!("/{}", gateway.username()), "role and database have one name");
    // The image sources a script that is not executable, with its own shell options.
    assert_eq!(fs::metadata(root().join(script)).unwrap().permissions().mode() & 0o111, 0o111);
}

#[tokio::test]
async fn the_gateway_runs_as_the_role_of_the_script_without_rights_to_the_server() {
    let name = format!("rolegate_container_{}", std::process::id());
    let secrets = tempfile::TempDir::new().unwrap();
    let file = secrets.path().join("database_password");
    fs::write(&file, "it's \\ \"quoted\" $(id)\n").unwrap();
    let server = engines::server();
    let output = Command::new(root().join("scripts/container-database.sh"))
        .envs([("GATEWAY_DATABASE", name.as_str()), ("POSTGRES_USER", server.username())])
        .envs([("PGHOST", server.host_str().unwrap().to_owned()), ("PGPORT", server.port().unwrap_or(5432).to_string())])
        .env("PGPASSWORD", server.password().unwrap_or_default())
        .env("GATEWAY_PASSWORD_FILE", &file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut address = server.clone();
    address.set_username(&name).unwrap();
    address.set_password(Some("it's \\ \"quoted\" $(id)")).unwrap();
    address.set_path(&name);
    let db = Db::open(address.as_str(), PoolSize(1)).await.unwrap();
    db.migrate().await.unwrap();
    let sql = "select count(*) from pg_roles where rolname = current_user
        and not (rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls)";
    assert_eq!(db.query(sql).optional::<(i64,)>().await.unwrap(), Some((1,)));
    assert!(db.query("copy tenant to program 'true'").run().await.is_err(), "a superuser runs programs on the server");
    db.close().await;
    engines::run(&format!("drop database {name} with (force)")).await;
    engines::run(&format!("drop role {name}")).await;
}
