//! Cursors (RFC 9865): what a cursor says, and whether it may still be used. A cursor names a position between resources, not a page: what
//! is deleted or added meanwhile moves nobody. It refuses to know how the text is sealed; that belongs to whoever keeps keys.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    error::{ErrorKind, ScimError},
    list::{ListQuery, SortOrder},
    sort::Key,
};
use crate::domain::time::Timestamp;

/// How long a cursor may be used after it was given out; `cursorTimeout` in discovery.
pub const TTL_SECS: i64 = 3600;
/// Characters of a cursor at most.
pub const LENGTH: usize = 8192;

/// Right behind the last resource of a page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    #[serde(rename = "i")]
    pub id: String,
    /// In a sorted list.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
}

/// The value inside a cursor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    #[serde(rename = "p")]
    pub position: Position,
    #[serde(rename = "f")]
    fingerprint: String,
    #[serde(rename = "e")]
    expires_at: Timestamp,
    /// RFC 9865 §2.2: `totalResults` of all pages, as it was counted for the first one.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub total: Option<usize>,
}

/// What a cursor belongs to: one list of one connection, by its filter and order. `list` tells lists apart that ask the same.
#[must_use]
pub fn fingerprint(list: &str, query: &ListQuery) -> String {
    let filter = query.filter.as_ref().map(ToString::to_string).unwrap_or_default();
    let sort = query.sort_by.as_ref().map(|path| path.to_string().to_ascii_lowercase()).unwrap_or_default();
    let order = if query.sort_order == SortOrder::Descending { "-" } else { "+" };
    let mut hash = Sha256::new();
    for part in [list, &filter, &sort, order] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    URL_SAFE_NO_PAD.encode(&hash.finalize()[..16])
}

impl Cursor {
    #[must_use]
    pub fn new(position: Position, fingerprint: String, total: Option<usize>, now: Timestamp) -> Self {
        Self { position, fingerprint, expires_at: now.plus_secs(TTL_SECS), total }
    }

    /// What is to be sealed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers can always be written as JSON")
    }

    /// Reads what was unsealed; `None` when the seal was not one of ours.
    ///
    /// # Errors
    /// `invalidCursor` when it was given out for nothing or something else, `expiredCursor` when that was too long ago.
    pub fn read(unsealed: Option<&[u8]>, fingerprint: &str, now: Timestamp) -> Result<Self, ScimError> {
        let invalid =
            || ScimError::new(ErrorKind::InvalidCursor, "The cursor is not one that was given out for this list; begin with an empty one.");
        let cursor: Self = unsealed.and_then(|bytes| serde_json::from_slice(bytes).ok()).ok_or_else(invalid)?;
        if cursor.fingerprint != fingerprint {
            return Err(invalid());
        }
        if cursor.expires_at <= now {
            let detail = "The cursor has expired; begin again with an empty one.";
            return Err(ScimError::new(ErrorKind::ExpiredCursor, detail));
        }
        Ok(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::schema::Schemas;

    fn query(pairs: &[(&str, &str)]) -> ListQuery {
        let pairs: Vec<(String, String)> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        ListQuery::parse(&pairs, &Schemas::standard().user).unwrap()
    }

    #[test]
    fn a_cursor_goes_on_where_it_was_given_out_and_nowhere_else() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let mine = fingerprint("c1/Users", &query(&[("filter", "title pr"), ("count", "5")]));
        let position = Position { id: "u1".to_owned(), key: Some(Key::Text("anna".to_owned())) };
        let cursor = Cursor::new(position, mine.clone(), Some(7), now);
        let bytes = cursor.to_bytes();
        assert_eq!(Cursor::read(Some(&bytes), &mine, now.plus_secs(TTL_SECS - 1)).unwrap(), cursor);
        let refused = |bytes: Option<&[u8]>, fingerprint: &str, at| Cursor::read(bytes, fingerprint, at).unwrap_err().kind;
        assert_eq!(refused(Some(&bytes), &mine, now.plus_secs(TTL_SECS)), ErrorKind::ExpiredCursor);
        assert_eq!(refused(None, &mine, now), ErrorKind::InvalidCursor);
        assert_eq!(refused(Some(b"{}"), &mine, now), ErrorKind::InvalidCursor);
        // RFC 9865 lets the page size change between pages; what is asked for must stay.
        assert_eq!(fingerprint("c1/Users", &query(&[("count", "9"), ("filter", "title PR")])), mine);
        for (list, other) in [
            ("c2/Users", query(&[("filter", "title pr")])),
            ("c1/Users", query(&[])),
            ("c1/Users", query(&[("filter", "title pr"), ("sortBy", "userName")])),
            ("c1/Users", query(&[("filter", "title pr"), ("sortOrder", "descending")])),
        ] {
            assert_eq!(refused(Some(&bytes), &fingerprint(list, &other), now), ErrorKind::InvalidCursor);
        }
    }
}
