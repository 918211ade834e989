//! The page on refusals names every code that a refusal can have, and none that no refusal has.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What makes refusals, with the code as the first text behind it.
const MAKERS: [&str; 7] = ["refuse(", "refused(", "Refusal::new(", "early(", "expired(", "encrypted(", "check_not_before("];

/// The literals that stand first, or behind a step, in the arguments of those who make refusals.
fn codes_of(source: &str) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for maker in MAKERS {
        for (at, _) in source.match_indices(maker) {
            let mut rest = source[at + maker.len()..].trim_start();
            if rest.starts_with("Step::") {
                rest = rest.split_once(',').map_or("", |(_, rest)| rest.trim_start());
            }
            let Some(code) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) else { continue };
            let word = !code.0.is_empty() && code.0.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if word {
                codes.insert(code.0.to_owned());
            }
        }
    }
    codes
}

fn without_tests(path: &Path) -> String {
    let source = fs::read_to_string(path).unwrap();
    source.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned()
}

fn codes() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut codes = BTreeSet::new();
    for folder in ["src/saml", "src/saml/issuer", "src/http/saml"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("metadata.rs") {
                codes.extend(codes_of(&without_tests(&path)));
            }
        }
    }
    codes
}

/// In the first column of the tables.
fn documented() -> BTreeSet<String> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sign-in-refusals.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    cells.flat_map(|cell| cell.split('`')).filter(|part| !part.is_empty() && !part.contains([',', ' '])).map(str::to_owned).collect()
}

#[test]
fn every_refusal_is_on_the_page_and_every_code_on_the_page_is_a_refusal() {
    let (codes, documented) = (codes(), documented());
    assert!(codes.len() > 60, "the reader of the sources finds {} codes", codes.len());
    let missing: Vec<_> = codes.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/sign-in-refusals.md does not explain {missing:?}");
    let stale: Vec<_> = documented.difference(&codes).collect();
    assert!(stale.is_empty(), "docs/sign-in-refusals.md explains {stale:?}, which nothing refuses");
}

#[test]
fn the_reader_of_the_sources_finds_what_is_there() {
    let source = "Err(refuse(\"one\", x))  Refusal::new(Step::Scan, \"two\", y) early(\n  \"three\", z) refuse(code, \"Not a code\") other(\"four\")";
    assert_eq!(codes_of(source).into_iter().collect::<Vec<_>>(), ["one", "three", "two"]);
}

/// Markdown files of the directory and of the directories below it.
fn pages(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| if path.is_dir() { pages(&path) } else { vec![path] });
    found.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// Every link from one page of the documentation to another names a file that exists.
#[test]
fn links_between_pages_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages: Vec<PathBuf> = pages(&root.join("docs")).into_iter().chain([root.join("README.md")]).collect();
    assert!(pages.len() > 15, "found {} pages", pages.len());
    for path in pages {
        let page = fs::read_to_string(&path).unwrap();
        let directory = path.parent().unwrap();
        for target in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|target| !target.contains("://")) {
            let file = target.split('#').next().unwrap();
            assert!(file.is_empty() || directory.join(file).exists(), "{}: {target}", path.display());
        }
    }
}
