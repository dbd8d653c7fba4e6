//! A journal taken apart, so that another process may keep it while its store stays here.

use tokio_util::sync::CancellationToken;

use super::{Journal, JournalWriter, Sink, Terms};
use crate::store::{JournalEntry, Lease};

/// What [`Journal::new`] was given.
pub struct JournalParts {
    pub lease: Lease,
    pub terms: Terms,
    pub recorded: Vec<JournalEntry>,
    pub writer: JournalWriter,
    pub pause: CancellationToken,
}

impl Journal {
    /// The parts of a journal that nothing was asked of yet; `None` of one without a store.
    pub fn into_parts(self) -> Option<JournalParts> {
        let Journal { terms, recorded, sink: Sink::Store { lease, writer }, pause, .. } = self else { return None };
        Some(JournalParts { lease, terms, recorded: recorded.into(), writer, pause })
    }
}

/// What an entry weighs.
pub fn size(entry: &JournalEntry) -> usize {
    entry.weight().try_into().unwrap_or(usize::MAX)
}
