//! Queries (RFC 7644 §3.4.2, §3.4.3, RFC 9865) and the list that answers them.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{
    error::{ErrorKind, ScimError},
    filter::Filter,
    json,
    path::AttrPath,
    project::Projection,
    schema::Schema,
};

pub const URN: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
pub const SEARCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
/// Resources on a page when the client does not say how many.
pub const PAGE: usize = 200;
/// Resources on a page at most.
pub const MAX_PAGE: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortOrder {
    #[default]
    Ascending,
    Descending,
}

/// What is asked of a collection.
#[derive(Debug, Clone, PartialEq)]
pub struct ListQuery {
    pub filter: Option<Filter>,
    pub sort_by: Option<AttrPath>,
    pub sort_order: SortOrder,
    /// From 1.
    pub start_index: usize,
    pub count: usize,
    /// RFC 9865: `Some("")` asks for the first page by cursor.
    pub cursor: Option<String>,
    pub projection: Projection,
}

/// The parameters as they came: from the address or from a body.
#[derive(Default)]
struct Raw {
    filter: Option<String>,
    sort_by: Option<String>,
    sort_order: Option<String>,
    start_index: Option<i64>,
    count: Option<i64>,
    cursor: Option<String>,
    attributes: Option<Vec<String>>,
    excluded: Option<Vec<String>>,
}

fn number(name: &str, text: &str) -> Result<i64, ScimError> {
    text.trim().parse().map_err(|_| ScimError::value(format_args!("{name} is not a whole number.")))
}

fn names(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

impl ListQuery {
    /// Reads the decoded parameters of an address. Unknown ones are ignored (Entra: `aadOptscim062020`), as are empty ones (OneLogin: a trailing `&`).
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn parse(pairs: &[(String, String)], schema: &Schema) -> Result<Self, ScimError> {
        let given: HashMap<&str, &str> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let text = |name: &str| given.get(name).copied().filter(|value| !value.trim().is_empty());
        let raw = Raw {
            filter: text("filter").map(str::to_owned),
            sort_by: text("sortBy").map(str::to_owned),
            sort_order: text("sortOrder").map(str::to_owned),
            start_index: text("startIndex").map(|value| number("startIndex", value)).transpose()?,
            count: text("count").map(|value| number("count", value)).transpose()?,
            // RFC 9865 §2: an empty cursor asks for the first page.
            cursor: given.get("cursor").map(ToString::to_string),
            attributes: text("attributes").map(names),
            excluded: text("excludedAttributes").map(names),
        };
        Self::from_raw(raw, schema)
    }

    /// Reads a SearchRequest (RFC 7644 §3.4.3).
    ///
    /// # Errors
    /// When it is none.
    pub fn parse_search(body: &[u8], schema: &Schema) -> Result<Self, ScimError> {
        let map = json::object(body)?;
        let member = |name: &str| json::find(&map, name).filter(|value| !value.is_null());
        let text = |name: &str| match member(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(ScimError::value(format_args!("{name} is not a string."))),
        };
        let number = |name: &str| match member(name) {
            None => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or_else(|| ScimError::value(format_args!("{name} is not a whole number."))),
        };
        let names = |name: &str| match member(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(names(text))),
            Some(Value::Array(items)) => Ok(Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())),
            Some(_) => Err(ScimError::value(format_args!("{name} is not an array of strings."))),
        };
        let raw = Raw {
            filter: text("filter")?.filter(|text| !text.trim().is_empty()),
            sort_by: text("sortBy")?,
            sort_order: text("sortOrder")?,
            start_index: number("startIndex")?,
            count: number("count")?,
            cursor: text("cursor")?,
            attributes: names("attributes")?,
            excluded: names("excludedAttributes")?,
        };
        Self::from_raw(raw, schema)
    }

    fn from_raw(raw: Raw, schema: &Schema) -> Result<Self, ScimError> {
        let filter = raw.filter.as_deref().map(Filter::parse).transpose()?;
        if let Some(filter) = &filter {
            filter.check(schema).map_err(|e| ScimError::new(ErrorKind::InvalidFilter, e.message))?;
        }
        let sort_by = raw.sort_by.as_deref().map(AttrPath::parse).transpose();
        let sort_by = sort_by.map_err(|e| ScimError::path(format_args!("sortBy cannot be read {e}.")))?;
        let sort_order = match raw.sort_order.as_deref() {
            None => SortOrder::Ascending,
            Some(text) if text.eq_ignore_ascii_case("ascending") => SortOrder::Ascending,
            Some(text) if text.eq_ignore_ascii_case("descending") => SortOrder::Descending,
            Some(_) => return Err(ScimError::value("sortOrder is ascending or descending.")),
        };
        let list = |names: &Option<Vec<String>>| names.clone();
        let (attributes, excluded) = (list(&raw.attributes), list(&raw.excluded));
        let projection = Projection::new(
            attributes.as_ref().map(|names| names.iter().map(String::as_str)),
            excluded.as_ref().map(|names| names.iter().map(String::as_str)),
            schema,
        )?;
        Ok(Self {
            filter,
            sort_by,
            sort_order,
            // RFC 7644 §3.4.2.4: "A value less than 1 SHALL be interpreted as 1."
            start_index: usize::try_from(raw.start_index.unwrap_or(1).max(1)).unwrap_or(usize::MAX),
            // "A negative value SHALL be interpreted as "0". A value of "0" indicates that no resource results are to be returned except for "totalResults"."
            count: raw.count.map_or(PAGE, |count| usize::try_from(count.max(0)).unwrap_or(usize::MAX).min(MAX_PAGE)),
            cursor: raw.cursor,
            projection,
        })
    }
}

/// A page by index. RFC 7644 §3.4.2: `Resources` is "REQUIRED if "totalResults" is non-zero"; it is always there.
#[must_use]
pub fn list_response(total: usize, start_index: usize, resources: Vec<Value>) -> Value {
    json!({
        "schemas": [URN],
        "totalResults": total,
        "startIndex": start_index,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}

/// A page by cursor (RFC 9865 §2): `nextCursor` is left out on the last page, `totalResults` when nobody counted.
#[must_use]
pub fn cursor_response(total: Option<usize>, next: Option<&str>, resources: Vec<Value>) -> Value {
    let mut map = Map::new();
    map.insert("schemas".to_owned(), json!([URN]));
    if let Some(total) = total {
        map.insert("totalResults".to_owned(), total.into());
    }
    map.insert("itemsPerPage".to_owned(), resources.len().into());
    if let Some(next) = next {
        map.insert("nextCursor".to_owned(), next.into());
    }
    map.insert("Resources".to_owned(), Value::Array(resources));
    Value::Object(map)
}
