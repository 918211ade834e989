//! `docs/requirements.md` has a row for every rule of the role systems; the tests that a row names exist.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

/// The rules are numbered from 1 to this without a gap.
const LAST: usize = 240;

/// Of these, the entities of the preset `idaas` are the last.
const BEFORE_FIRST_ENTITY: usize = 179;

/// Rules that are no matter of this gateway.
const NOT_HERE: &[usize] = &[20, 62, 63, 181, 213, 221];

/// People management, pages of the console, texts of mails, scheduled reports and webhooks.
const NOT_YET: &[usize] = &[
    8, 9, 22, 23, 24, 26, 28, 35, 36, 40, 41, 42, 44, 46, 83, 86, 91, 92, 93, 109, 114, 123, 132, 135, 136, 156, 159, 161, 164, 165, 167,
    171, 176, 177, 178, 185, 186, 188, 228, 237, 240,
];

/// Rules of which some part is shown by no test. This list only shrinks.
const OPEN: &[usize] = &[];

struct Row {
    number: usize,
    what: String,
    shown_by: String,
}

impl Row {
    /// What stands between backticks.
    fn tests(&self) -> impl Iterator<Item = &str> {
        self.shown_by.split('`').skip(1).step_by(2)
    }
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The rows of all tables of the document; heads and rules of tables have no number.
fn rows() -> Vec<Row> {
    let mut rows = vec![];
    for line in read("docs/requirements.md").lines() {
        let Some(cells) = line.strip_prefix("| R").and_then(|rest| rest.strip_suffix(" |")) else { continue };
        let cells: Vec<&str> = cells.split(" | ").collect();
        let Ok(number) = cells[0].parse::<usize>() else { continue };
        assert_eq!(cells.len(), 3, "a row has three cells: {line}");
        rows.push(Row { number, what: cells[1].to_owned(), shown_by: cells[2].to_owned() });
    }
    rows
}

/// The test functions of a folder as `module::path::name`, read from its sources.
fn tests_below(folder: &str) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut open: Vec<PathBuf> = vec![root.clone()];
    let mut found = BTreeSet::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(&root).unwrap().with_extension("");
            let mut module: Vec<String> = relative.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
            if module.last().is_some_and(|last| last == "mod") {
                module.pop();
            }
            found.extend(tests_of(&read(&path)).into_iter().map(|name| format!("{}::{name}", module.join("::"))));
        }
    }
    found
}

/// The test functions of one file, below the inline module that they stand in.
fn tests_of(text: &str) -> Vec<String> {
    let (mut inline, mut is_test, mut found) = (String::new(), false, vec![]);
    for line in text.lines().map(str::trim) {
        if ["#[test]", "#[rstest]", "#[tokio::test"].iter().any(|attribute| line.starts_with(attribute)) {
            is_test = true;
        } else if let Some(name) = line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(" {")) {
            inline = format!("{name}::");
        } else if let Some(rest) = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn ")) {
            let name = rest.split(['(', '<']).next().unwrap();
            if is_test {
                found.push(format!("{inline}{name}"));
            }
            is_test = false;
        }
    }
    found
}

#[test]
fn every_number_has_one_row() {
    let mut numbers: Vec<usize> = rows().iter().map(|row| row.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=LAST).collect::<Vec<_>>());
}

#[test]
fn every_test_that_a_row_names_exists() {
    let existing = &tests_below("tests") | &tests_below("src");
    for row in rows() {
        for test in row.tests() {
            assert!(existing.contains(test), "R{}: there is no test {test}", row.number);
        }
    }
}

#[test]
fn what_no_test_shows_is_counted() {
    let rows = rows();
    let words = [("not here: ", NOT_HERE), ("not yet: ", NOT_YET), ("open: ", OPEN)];
    for (word, counted) in words {
        let mut said: Vec<usize> = rows.iter().filter(|row| row.shown_by.contains(word)).map(|row| row.number).collect();
        said.sort_unstable();
        assert_eq!(said, counted, "the rows that say {word:?}, and those that may");
    }
    for row in rows {
        let excused = words.iter().any(|(word, _)| row.shown_by.contains(*word));
        assert!(excused || row.tests().next().is_some(), "R{} names no test", row.number);
    }
}

#[test]
fn the_catalogues_have_what_the_rows_say() {
    let entities = |preset: &str| {
        let file: Value = serde_json::from_str(&read(format!("presets/{preset}.json"))).unwrap();
        file["entities"].as_array().unwrap().clone()
    };
    let idaas = entities("idaas");
    let categories: BTreeSet<&str> = idaas.iter().map(|entity| entity["category"].as_str().unwrap()).collect();
    assert_eq!((idaas.len(), categories.len()), (LAST - BEFORE_FIRST_ENTITY, 8));
    for row in rows().iter().filter(|row| row.number > BEFORE_FIRST_ENTITY) {
        let name = idaas[row.number - BEFORE_FIRST_ENTITY - 1]["name"].as_str().unwrap();
        assert!(row.what.starts_with(&format!("{name}: ")), "R{} is of {name}", row.number);
    }
    let org_admin = entities("org-admin");
    for (key, actions) in [
        ("account_authenticators", json!(["read", "write", "delete"])),
        ("account_identities", json!(["read", "write"])),
        ("account_verification", json!(["write"])),
        ("personal_data_download", json!(["export"])),
    ] {
        let entity = org_admin.iter().find(|entity| entity["key"] == key).unwrap();
        assert_eq!(entity["actions"], actions, "{key}");
    }
}
