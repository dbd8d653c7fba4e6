//! Which part of a list is asked for? By Tower's page numbers, or by a cursor where a list is long
//! and grows.

use super::Problem;
use super::extract::QueryParams;
use super::wire::Pages;
use crate::numbers::{Number, count, fixed};

/// How many an answer lists unless asked for another number.
pub const PAGE: u32 = 20;
/// The most that one answer lists.
pub const MAX_PAGE: u32 = 100;
/// `page=0` asks for everything at once, which has an end too.
const MAX_ALL: u32 = 1000;
/// So that an offset fits its number.
const MAX_NUMBER: u32 = 10_000_000;

/// The numbers of lists.
pub fn numbers() -> Vec<Number> {
    vec![fixed("V22", "what one answer lists", count(MAX_ALL))]
}

/// A page by its number, from 1; 0 is the whole list, as far as one answer goes.
pub struct Page {
    number: u32,
    size: u32,
}

impl Page {
    /// `?page=` and `?page_size=`.
    pub fn take(query: &mut QueryParams) -> Result<Page, Problem> {
        let number = query.number("page", 0, MAX_NUMBER)?.unwrap_or(1);
        let size = query.number("page_size", 1, MAX_PAGE)?.unwrap_or(PAGE);
        Ok(Page { number, size: if number == 0 { MAX_ALL } else { size } })
    }

    /// How many entries it has at most.
    pub fn limit(&self) -> u32 {
        self.size
    }

    /// How many come before it.
    pub fn offset(&self) -> u32 {
        self.number.saturating_sub(1).saturating_mul(self.size)
    }

    /// What is told of it, of `total` entries on all pages.
    pub fn told(&self, total: u64) -> Pages {
        Pages {
            page_size: self.size,
            next_cursor: None,
            page: Some(self.number),
            num_pages: Some(total.div_ceil(self.size.into())),
            total: Some(total),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_count_from_one_and_zero_is_all() {
        let page = Page { number: 3, size: 20 };
        assert_eq!((page.offset(), page.limit()), (40, 20));
        let told = page.told(41);
        assert_eq!((told.num_pages, told.total, told.page), (Some(3), Some(41), Some(3)));
        let all = Page { number: 0, size: MAX_ALL };
        assert_eq!((all.offset(), all.told(7).num_pages), (0, Some(1)));
        assert_eq!(Page { number: MAX_NUMBER, size: MAX_PAGE }.offset(), (MAX_NUMBER - 1) * MAX_PAGE);
    }
}
