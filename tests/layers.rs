//! Arrows point downward only: what each folder of `src` may name, and which libraries stand where.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What each layer may use, besides itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("scim", &["domain"]),
    ("saml", &["domain"]),
    ("policy", &["scim", "saml", "domain"]),
    ("db", &["policy", "scim", "saml", "domain"]),
    // Keeps secrets: below whoever acts, above what it encrypts for.
    ("keys", &["db", "saml", "domain"]),
    ("provision", &["db", "policy", "scim", "saml", "domain"]),
    ("admin", &["outbound", "keys", "provision", "db", "policy", "scim", "saml", "domain"]),
    ("config", &["keys", "db", "domain"]),
    // Writes lines to stderr.
    ("log", &["config"]),
    // Asks the network, and knows nothing of the rest.
    ("dns", &[]),
    // Fetches what people name: bounded, and not from the inside.
    ("outbound", &["config"]),
    ("app", &["config", "dns", "outbound", "http", "keys", "admin", "provision", "db", "policy", "scim", "saml", "domain"]),
    ("http", &["app", "log", "config", "keys", "admin", "provision", "db", "policy", "scim", "saml", "domain"]),
    // Works beside the routes, from the same wiring.
    ("jobs", &["app", "log", "keys", "admin", "provision", "db", "policy", "saml", "domain"]),
    ("cli", &["jobs", "app", "log", "config", "outbound", "http", "keys", "admin", "provision", "db", "policy", "scim", "saml", "domain"]),
    ("main", &["cli", "jobs", "app", "config", "outbound", "http", "keys", "admin", "provision", "db", "policy", "scim", "saml", "domain"]),
];

/// Layers in which a library may be named.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("axum", &["http", "app", "cli", "main"]),
    ("sqlx", &["db"]),
    // `admin` describes the values whose JSON is a contract.
    ("hickory_resolver", &["dns"]),
    ("utoipa", &["http", "admin"]),
    ("samael", &["saml"]),
    // `cli` signs as the identity provider of the demo.
    ("openssl", &["saml", "keys", "cli"]),
];

const PURE: &[&str] = &["domain", "scim", "saml", "policy"];

struct Source {
    layer: String,
    place: String,
    /// How many times `super` leads from the file's module to the root.
    depth: usize,
    /// Without comments and texts.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut open = vec![root.clone()];
    let mut files: Vec<PathBuf> = vec![];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    let read = |path: PathBuf| {
        let relative = path.strip_prefix(&root).unwrap();
        let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
        let code = bare(&fs::read_to_string(&path).unwrap());
        let depth = relative.components().count() - usize::from(relative.ends_with("mod.rs"));
        Source { layer: first.trim_end_matches(".rs").to_owned(), place: relative.display().to_string(), depth, code }
    };
    // `lib.rs` is the list of modules.
    files.into_iter().map(read).filter(|source| source.layer != "lib").collect()
}

/// The code with comments and texts blanked out.
fn bare(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_text(rest) {
            length
        } else if c == '"' {
            plain_text(rest)
        } else if c == '\'' {
            character(rest)
        } else {
            0
        };
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            code.push(' ');
            rest = &rest[skipped..];
        }
    }
    code
}

/// The length of `r"…"` or `r#"…"#` at the beginning.
fn raw_text(text: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let inner = 1 + hashes + 1;
    Some(text[inner..].find(&end).map_or(text.len(), |at| inner + at + end.len()))
}

fn plain_text(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A character such as `'"'`; a lifetime is none.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => text[3..].find('\'').map_or(0, |at| 3 + at + 1),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

/// The modules of the crate that the code names: `crate::x`, `crate::{x::…, y}`, `rolegate::x`.
fn named(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for root in ["crate::", "rolegate::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            // `$crate::` of a macro counts, `other_crate::` does not.
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let rest = &code[at + root.len()..];
            match rest.strip_prefix('{') {
                Some(group) => names.extend(group_heads(group)),
                None => names.extend(Some(word(rest))),
            }
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The layers that the code names by climbing to the root: `super::super::x`.
fn climbed_to(code: &str, depth: usize) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = code;
    while let Some(at) = rest.find("super::") {
        rest = &rest[at..];
        let mut climbed = 0;
        while let Some(after) = rest.strip_prefix("super::") {
            (rest, climbed) = (after, climbed + 1);
        }
        let name = word(rest);
        if climbed >= depth && MAY_USE.iter().any(|(layer, _)| *layer == name) {
            names.insert(name);
        }
    }
    names
}

/// The first word of each item of a group, whose opening brace is behind.
fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut heads, mut begin) = (0, vec![], 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' | ',' if depth == 0 => {
                heads.push(word(group[begin..at].trim_start()));
                begin = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    heads
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Whether the library is named as the beginning of a path.
fn uses(code: &str, library: &str) -> bool {
    code.match_indices(library).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + library.len()..];
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.') && !code[..at].ends_with("::") && after.starts_with("::")
    })
}

#[test]
fn arrows_point_downward_only() {
    let mut wrong = vec![];
    for source in sources() {
        let Some((_, allowed)) = MAY_USE.iter().find(|(layer, _)| *layer == source.layer) else {
            wrong.push(format!("src/{}: `{}` is no layer that this test knows", source.place, source.layer));
            continue;
        };
        for name in named(&source.code).into_iter().chain(climbed_to(&source.code, source.depth)) {
            if name != source.layer && !allowed.contains(&name.as_str()) {
                wrong.push(format!("src/{}: `{}` must not use `{name}`", source.place, source.layer));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_library_stands_where_it_belongs() {
    let mut wrong = vec![];
    for source in sources() {
        // `app` draws the randomness that everybody else is handed, and does nothing else with it.
        let code = if source.layer == "app" { source.code.replace("openssl::rand::", "") } else { source.code };
        for (library, layers) in LIBRARIES {
            if uses(&code, library) && !layers.contains(&source.layer.as_str()) {
                wrong.push(format!("src/{}: `{library}` belongs in {layers:?}", source.place));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `println!` and `eprintln!` panic when nobody reads what they print.
#[test]
fn nothing_prints_but_the_output_of_commands() {
    let prints = |code: &str| ["println!", "eprintln!", "print!", "eprint!", "dbg!"].iter().any(|print| code.contains(print));
    let wrong: Vec<_> = sources().into_iter().filter(|source| prints(&source.code)).map(|source| source.place).collect();
    assert!(wrong.is_empty(), "write with `cli::Output` or `tracing` in {wrong:?}");
}

#[test]
fn what_decides_does_not_wait() {
    let is_async = |code: &str| code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "async");
    let wrong: Vec<_> = sources().into_iter().filter(|s| PURE.contains(&s.layer.as_str()) && is_async(&s.code)).map(|s| s.place).collect();
    assert!(wrong.is_empty(), "`async` has no place in {wrong:?}");
}

/// Transactions that nobody's rights decide: of sign-ins, jobs and the operator of the host. Each file with how many it begins.
const WITHOUT_ACTOR: &[(&str, usize)] = &[
    ("admin/apply.rs", 2),
    ("admin/archive.rs", 1),
    ("admin/audit_trail.rs", 1),
    ("admin/logout.rs", 2),
    ("admin/metadata.rs", 2),
    ("admin/provisioning_log.rs", 2),
    ("admin/recover.rs", 1),
    ("admin/rewrap.rs", 3),
    ("admin/session.rs", 2),
    ("admin/sign_in_log.rs", 1),
    ("admin/test_sign_in.rs", 3),
    ("http/oauth.rs", 1),
    ("http/saml/admit.rs", 1),
    ("http/saml/login.rs", 1),
    ("http/saml/test.rs", 1),
    ("provision/user.rs", 1),
];

/// Whoever writes for a person or a SCIM client begins with `db::acting::begin`, which confirms their rights.
#[test]
fn who_acts_is_confirmed_where_a_transaction_begins() {
    let begun = |source: &Source| {
        // Tests stand at the end of a file.
        let code = source.code.split("#[cfg(test)]").next().unwrap_or_default();
        code.matches("db.begin()").count() + code.matches("db().begin()").count()
    };
    let acting = sources().into_iter().filter(|source| ["admin", "http", "provision"].contains(&source.layer.as_str()));
    let found: Vec<(String, usize)> =
        acting.map(|source| (source.place.clone(), begun(&source))).filter(|(_, number)| *number > 0).collect();
    let allowed: Vec<(String, usize)> = WITHOUT_ACTOR.iter().map(|(place, number)| ((*place).to_owned(), *number)).collect();
    assert_eq!(found, allowed, "begin with `db::acting::begin`, or say here why nobody acts");
}

#[test]
fn the_reader_of_sources_is_not_fooled() {
    let code = bare(
        "use crate::{domain::{id::X, name}, db::Tx};\n// crate::http\nlet a = \"crate::cli \\\" crate::app\"; let q = '\"'; crate::scim::f::<'a>(r#\"crate::saml\"#);",
    );
    assert_eq!(named(&code).into_iter().collect::<Vec<_>>(), ["db", "domain", "scim"]);
    assert!(climbed_to("use super::super::db::Tx;", 2).contains("db") && climbed_to("use super::db::Tx;", 2).is_empty());
    assert!(uses("use sqlx::Row;", "sqlx") && uses("#[derive(sqlx::FromRow)]", "sqlx"));
    assert!(!uses("use my_sqlx::Row;", "sqlx") && !uses("x.sqlx", "sqlx") && !uses("a::sqlx::b", "sqlx"));
}
