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
        let projection = Projection::new(raw.attributes.as_deref(), raw.excluded.as_deref(), schema)?;
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
    let mut map = Map::new();
    map.insert("schemas".to_owned(), json!([URN]));
    map.insert("totalResults".to_owned(), total.into());
    map.insert("startIndex".to_owned(), start_index.into());
    map.insert("itemsPerPage".to_owned(), resources.len().into());
    map.insert("Resources".to_owned(), Value::Array(resources));
    Value::Object(map)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::schema::Schemas;

    fn query(pairs: &[(&str, &str)]) -> Result<ListQuery, ScimError> {
        let pairs: Vec<(String, String)> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        ListQuery::parse(&pairs, &Schemas::standard().user)
    }

    #[test]
    fn numbers_out_of_range_are_brought_into_it() {
        let page = |start: &str, count: &str| {
            let query = query(&[("startIndex", start), ("count", count)]).unwrap();
            (query.start_index, query.count)
        };
        assert_eq!(page("0", "-5"), (1, 0));
        assert_eq!(page("-7", "0"), (1, 0));
        assert_eq!(page("101", "100"), (101, 100));
        assert_eq!(page("1", "100000"), (1, MAX_PAGE));
        assert_eq!(page("", ""), (1, PAGE));
    }

    #[test]
    fn strange_parameters_are_ignored_and_wrong_ones_refused() {
        assert!(query(&[("aadOptscim062020", ""), ("", ""), ("filter", ""), ("attributes", "")]).is_ok());
        let refused = |name: &str, value: &str| query(&[(name, value)]).unwrap_err().kind;
        assert_eq!(refused("filter", "userName eq"), ErrorKind::InvalidFilter);
        assert_eq!(refused("filter", "active gt true"), ErrorKind::InvalidFilter);
        assert_eq!(refused("count", "many"), ErrorKind::InvalidValue);
        assert_eq!(refused("startIndex", "1.5"), ErrorKind::InvalidValue);
        assert_eq!(refused("sortOrder", "up"), ErrorKind::InvalidValue);
        assert_eq!(refused("sortBy", "a b"), ErrorKind::InvalidPath);
        assert_eq!(query(&[("attributes", "title"), ("excludedAttributes", "name")]).unwrap_err().kind, ErrorKind::InvalidValue);
    }

    #[test]
    fn a_search_request_says_the_same_as_an_address() {
        let body = json!({"schemas": [SEARCH_URN], "filter": "title pr", "startIndex": 3, "count": 5, "sortBy": "name.familyName",
            "sortOrder": "descending", "attributes": ["title", "emails.value"], "cursor": null});
        let by_body = ListQuery::parse_search(body.to_string().as_bytes(), &Schemas::standard().user).unwrap();
        let by_address = query(&[
            ("filter", "title pr"),
            ("startIndex", "3"),
            ("count", "5"),
            ("sortBy", "name.familyName"),
            ("sortOrder", "descending"),
            ("attributes", "title, emails.value,"),
        ]);
        assert_eq!(by_address.unwrap(), by_body);
        assert!(ListQuery::parse_search(br#"{"count":"5"}"#, &Schemas::standard().user).is_err());
    }

    #[test]
    fn a_list_counts_its_page() {
        let list = list_response(7, 3, vec![json!({"id": "a"})]);
        assert_eq!(list, json!({"schemas": [URN], "totalResults": 7, "startIndex": 3, "itemsPerPage": 1, "Resources": [{"id": "a"}]}));
        let page = cursor_response(None, Some("c2"), vec![]);
        assert_eq!(page, json!({"schemas": [URN], "itemsPerPage": 0, "nextCursor": "c2", "Resources": []}));
    }
}
