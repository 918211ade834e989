//! `/api/docs`: the OpenAPI document as a page, made here, without scripts and without anything from elsewhere.

use std::sync::LazyLock;

use askama::Template;
use axum::{http::StatusCode, response::Response};
use serde_json::{Map, Value};

use super::{openapi::DOCUMENT, page};

#[derive(Template)]
#[template(path = "docs.html")]
struct Page {
    version: String,
    about: Vec<String>,
    chapters: Vec<Chapter>,
    shapes: Vec<Shape>,
}

struct Chapter {
    title: String,
    about: String,
    operations: Vec<Operation>,
}

struct Operation {
    id: String,
    method: String,
    path: String,
    summary: String,
    about: String,
    parameters: Vec<Field>,
    body: Option<Kind>,
    answers: Vec<Answer>,
}

struct Answer {
    status: String,
    words: String,
    shape: Option<Kind>,
}

struct Shape {
    name: String,
    about: String,
    fields: Vec<Field>,
    /// Where it is no object.
    kind: Option<Kind>,
}

struct Field {
    name: String,
    place: String,
    kind: Kind,
    required: bool,
    about: String,
}

/// A type in words; what it refers to, if it does.
struct Kind {
    words: String,
    link: Option<String>,
}

static PAGE: LazyLock<Page> = LazyLock::new(|| read(&serde_json::to_value(&*DOCUMENT).unwrap_or_default()));

pub async fn get() -> Response {
    page::respond(StatusCode::OK, &*PAGE)
}

fn read(document: &Value) -> Page {
    let chapters = list(&document["tags"]).map(|tag| Chapter {
        title: text(&tag["name"]),
        about: plain(&tag["description"]),
        operations: operations(document, &tag["name"]),
    });
    Page {
        version: text(&document["info"]["version"]),
        about: text(&document["info"]["description"]).split("\n\n").map(|part| part.replace('`', "")).collect(),
        chapters: chapters.collect(),
        shapes: pairs(&document["components"]["schemas"]).map(|(name, schema)| shape(name, schema)).collect(),
    }
}

fn operations(document: &Value, tag: &Value) -> Vec<Operation> {
    let all = pairs(&document["paths"]).flat_map(|(path, item)| pairs(item).map(move |(method, operation)| (path, method, operation)));
    let own = all.filter(|(.., operation)| list(&operation["tags"]).any(|known| known == tag));
    let described = own.map(|(path, method, operation)| Operation {
        id: text(&operation["operationId"]),
        method: method.to_ascii_uppercase(),
        path: path.clone(),
        summary: text(&operation["summary"]),
        about: plain(&operation["description"]),
        parameters: list(&operation["parameters"]).map(parameter).collect(),
        body: operation.pointer("/requestBody/content/application~1json/schema").map(kind),
        answers: pairs(&operation["responses"]).map(|(status, answer)| self::answer(status, answer)).collect(),
    });
    described.collect()
}

fn parameter(parameter: &Value) -> Field {
    Field {
        name: text(&parameter["name"]),
        place: text(&parameter["in"]),
        kind: kind(&parameter["schema"]),
        required: parameter["required"] == true,
        about: plain(&parameter["description"]),
    }
}

fn answer(status: &str, answer: &Value) -> Answer {
    let shape = pairs(&answer["content"]).next().map(|(_, content)| kind(&content["schema"]));
    Answer { status: status.to_owned(), words: plain(&answer["description"]), shape }
}

fn shape(name: &str, schema: &Value) -> Shape {
    let required: Vec<&Value> = list(&schema["required"]).collect();
    let fields = pairs(&schema["properties"]).map(|(name, schema)| Field {
        name: name.clone(),
        place: String::new(),
        kind: kind(schema),
        required: required.iter().any(|known| *known == name),
        about: plain(&schema["description"]),
    });
    let fields: Vec<_> = fields.collect();
    let kind = fields.is_empty().then(|| kind(schema));
    Shape { name: name.to_owned(), about: plain(&schema["description"]), fields, kind }
}

fn kind(schema: &Value) -> Kind {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default().to_owned();
        return Kind { words: name.clone(), link: Some(name) };
    }
    let choices: Vec<&Value> = list(&schema["oneOf"]).chain(list(&schema["anyOf"])).chain(list(&schema["allOf"])).collect();
    if !choices.is_empty() {
        let kinds: Vec<Kind> = choices.into_iter().map(kind).collect();
        let words = kinds.iter().map(|kind| kind.words.as_str()).collect::<Vec<_>>().join(" or ");
        return Kind { words, link: kinds.into_iter().find_map(|kind| kind.link) };
    }
    let base = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        named => text(named),
    };
    if base.starts_with("array") {
        let Kind { words, link } = kind(&schema["items"]);
        return Kind { words: format!("list of {words}"), link };
    }
    let values: Vec<_> = list(&schema["enum"]).filter_map(Value::as_str).collect();
    let words = match (values.is_empty(), schema["format"].as_str()) {
        (false, _) => values.join(" | "),
        (true, Some(format)) => format!("{base}, {format}"),
        (true, None) => base,
    };
    Kind { words, link: None }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn pairs(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Descriptions are Markdown; here their code marks go.
fn plain(value: &Value) -> String {
    text(value).replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_every_operation_and_every_shape() {
        let page = PAGE.render().unwrap();
        let document = serde_json::to_value(&*DOCUMENT).unwrap();
        for (path, item) in pairs(&document["paths"]) {
            for (method, operation) in pairs(item) {
                assert!(page.contains(&format!("id=\"{}\"", text(&operation["operationId"]))), "{method} {path}");
            }
        }
        for (name, _) in pairs(&document["components"]["schemas"]) {
            assert!(page.contains(&format!("id=\"shape-{name}\"")), "{name}");
        }
        assert!(!page.contains("<script"));
    }
}
