//! Lists: `?limit=&cursor=&filter=`. A cursor names a position between rows, not a page: what comes or goes meanwhile moves nobody. It is
//! sealed, belongs to one list of one tenant with one filter, and expires.
//!
//! A handler asks its use case for [`Page::ask`] rows behind [`Page::after`] and hands what it got to [`Page::finish`], which sees from
//! the one row too many whether there is more.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        Array, ObjectBuilder, Ref, RefOr, Schema,
        schema::{SchemaType, Type},
    },
};

use crate::{
    app::App,
    domain::{id::TenantId, time::Timestamp},
    http::{caller::api::Caller, error::Problem},
    scim::filter::Filter,
};

/// Rows of a list when the client does not say how many, and at most.
const PAGE: i64 = 100;
const MAX_PAGE: i64 = 1000;
/// How long a cursor may be used after it was given out.
const TTL_SECS: i64 = 3600;
/// Characters of a cursor at most.
const LENGTH: usize = 8192;
const PURPOSE: &str = "API cursor";

/// What a list is asked with. One that has no filter uses [`PageParameters`].
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListParameters {
    /// How many rows at most: 1 to 1000; 100 when it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// A condition in the grammar of SCIM filters (RFC 7644 section 3.4.2.2), such as `name co "ed"`.
    filter: Option<String>,
}

/// As [`ListParameters`], without a filter.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageParameters {
    /// How many rows at most: 1 to 1000; 100 when it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl From<PageParameters> for ListParameters {
    fn from(PageParameters { limit, cursor }: PageParameters) -> Self {
        Self { limit, cursor, filter: None }
    }
}

impl ListParameters {
    /// Of a list that has parameters of its own, and therefore not this type.
    pub fn of(limit: Option<i64>, cursor: Option<String>) -> Self {
        Self { limit, cursor, filter: None }
    }
}

/// A page of a list.
#[derive(Debug, Serialize)]
pub struct Paged<T> {
    pub items: Vec<T>,
    /// For the next page; null at the end.
    pub next_cursor: Option<String>,
}

/// By hand, because a derived one has the same name whatever `T` is.
impl<T: ToSchema> PartialSchema for Paged<T> {
    fn schema() -> RefOr<Schema> {
        let items = Array::new(Ref::from_schema_name(T::name()));
        let cursor = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .description(Some("For the next page; null at the end."));
        ObjectBuilder::new().property("items", items).required("items").property("next_cursor", cursor).required("next_cursor").into()
    }
}

impl<T: ToSchema> ToSchema for Paged<T> {
    fn name() -> Cow<'static, str> {
        format!("{}Page", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(schemas);
        schemas.push((T::name().into_owned(), T::schema()));
    }
}

/// What is asked for. `P` is the position of a row in the list's order, such as its id, or its name and id.
#[derive(Debug)]
pub struct Page<P> {
    pub limit: i64,
    /// Rows behind this one; from the beginning when it is `None`.
    pub after: Option<P>,
    pub filter: Option<Filter>,
    list: String,
}

#[derive(Serialize, Deserialize)]
struct Cursor<P> {
    #[serde(rename = "p")]
    position: P,
    #[serde(rename = "f")]
    fingerprint: [u8; 16],
    #[serde(rename = "e")]
    expires_at: Timestamp,
}

pub fn limit(sent: Option<i64>) -> Result<i64, Problem> {
    match sent {
        None => Ok(PAGE),
        Some(limit) if limit >= 1 => Ok(limit.min(MAX_PAGE)),
        Some(_) => Err(Problem::invalid("limit", "limit is a whole number above 0.").at("limit")),
    }
}

impl<P: Serialize + DeserializeOwned> Page<P> {
    /// `list` tells the lists of a tenant apart, `known` are the attributes that its filter may name.
    ///
    /// # Errors
    /// `limit`, `invalid_filter`, `invalid_cursor`, `expired_cursor`.
    pub fn read(caller: &Caller, list: &str, sent: &ListParameters, known: &[&str]) -> Result<Self, Problem> {
        let limit = limit(sent.limit)?;
        let filter = sent.filter.as_deref().map(|text| filter(text, known)).transpose()?;
        let fingerprint = fingerprint(caller.tenant, list, filter.as_ref());
        let sent = sent.cursor.as_deref().filter(|cursor| !cursor.is_empty());
        let after = sent.map(|cursor| open(&caller.app, cursor, fingerprint)).transpose()?;
        Ok(Self { limit, after, filter, list: list.to_owned() })
    }

    /// How many rows to ask for: one too many, which tells whether there is another page.
    #[must_use]
    pub fn ask(&self) -> i64 {
        self.limit + 1
    }

    /// The page, of [`Page::ask`] rows or fewer. `position` is where a row stands in the list's order.
    pub fn finish<R, T>(self, caller: &Caller, mut rows: Vec<R>, position: impl Fn(&R) -> P, shown: impl FnMut(R) -> T) -> Paged<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|last| {
            let expires_at = caller.app.now().plus_secs(TTL_SECS);
            let cursor =
                Cursor { position: position(last), fingerprint: fingerprint(caller.tenant, &self.list, self.filter.as_ref()), expires_at };
            let plain = serde_json::to_vec(&cursor).expect("positions can be written as JSON");
            caller.app.keys.seal(PURPOSE, caller.app.random.bytes(), &plain)
        });
        Paged { items: rows.into_iter().map(shown).collect(), next_cursor }
    }
}

fn filter(text: &str, known: &[&str]) -> Result<Filter, Problem> {
    let refused = |detail: String| Problem::invalid("invalid_filter", detail).at("filter");
    let filter = Filter::parse(text).map_err(|error| refused(format!("{error}.")))?;
    let is_known = |name: &str| known.iter().any(|known| known.eq_ignore_ascii_case(name));
    let unknown = filter.attributes().find(|path| !is_known(&path.name)).map(|path| path.name.clone());
    match unknown {
        Some(name) => {
            // The name of a value within an attribute of several is none of its own.
            let known: Vec<&str> = known.iter().copied().filter(|known| *known != "value").collect();
            Err(refused(format!("This list is not filtered by {name:?}: {} are known.", known.join(", "))))
        }
        None => Ok(filter),
    }
}

fn fingerprint(tenant: TenantId, list: &str, filter: Option<&Filter>) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in [&tenant.to_string(), list, &filter.map(ToString::to_string).unwrap_or_default()] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let mut short = [0; 16];
    short.copy_from_slice(&hash.finalize()[..16]);
    short
}

fn open<P: DeserializeOwned>(app: &App, sent: &str, fingerprint: [u8; 16]) -> Result<P, Problem> {
    let refused = |code, detail: &str| Problem::invalid(code, detail).at("cursor");
    let unsealed = if sent.len() > LENGTH { None } else { app.keys.unseal(PURPOSE, sent) };
    let cursor: Option<Cursor<P>> = unsealed.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    match cursor.filter(|cursor| cursor.fingerprint == fingerprint) {
        None => Err(refused("invalid_cursor", "The cursor was not given out for this list and filter; begin without one.")),
        Some(cursor) if cursor.expires_at <= app.now() => Err(refused("expired_cursor", "The cursor has expired; begin without one.")),
        Some(cursor) => Ok(cursor.position),
    }
}
