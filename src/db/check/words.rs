//! Rows that a statement put into one text, because a driver takes as long for each row it hands over as for a hundred index look-ups: words
//! apart by a space, rows by a comma. Only what can hold neither is sent so: identifiers, words of closed sets, slugs and numbers. Refuses to
//! know what the words mean.

use std::array;

use crate::db::DbError;

/// Each row as its `N` words, of which some may be empty. `None` is no row: what `string_agg` makes of nothing.
///
/// # Errors
/// In place of a row of fewer or more words, [`DbError::Corrupt`].
pub(super) fn rows<'t, const N: usize>(what: &'static str, text: Option<&'t str>) -> impl Iterator<Item = Result<[&'t str; N], DbError>> {
    text.into_iter().flat_map(|text| text.split(',')).map(move |row| {
        if row.split(' ').count() != N {
            return Err(DbError::corrupt(what, &format!("{row:?} is not a row of {N} words")));
        }
        let mut words = row.split(' ');
        Ok(array::from_fn(|_| words.next().unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: Option<&str>) -> Result<Vec<[&str; 2]>, String> {
        rows("thing", text).collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    #[test]
    fn rows_have_their_number_of_words_and_no_row_is_dropped() {
        assert_eq!(pairs(None), Ok(vec![]));
        assert_eq!(pairs(Some("a b")), Ok(vec![["a", "b"]]));
        assert_eq!(pairs(Some("a b, c,d ")), Ok(vec![["a", "b"], ["", "c"], ["d", ""]]));
        for (text, row) in [("", ""), ("a", "a"), ("a b c", "a b c"), ("a b,", ""), (",a b", ""), ("a b,c", "c"), ("a b,c  d", "c  d")] {
            assert_eq!(pairs(Some(text)), Err(format!("the database holds thing that cannot be read: {row:?} is not a row of 2 words")));
        }
    }
}
