//! The names each digest was seen under, on any node. A pull reveals its digest long before its
//! tag.

use std::collections::{BTreeSet, HashMap, VecDeque};

use pulltrace_core::{Bytes, Digest, ImageRef};

/// Maximum number of digests; the first inserted is evicted.
const MAX_DIGESTS: usize = 16_384;

/// Maximum names per digest; further ones are ignored.
const MAX_NAMES: usize = 16;

/// An index of tags and digests, with image sizes.
#[derive(Debug, Default)]
pub(super) struct TagIndex {
    by_digest: HashMap<Digest, DigestEntry>,
    by_name: HashMap<ImageRef, Digest>,
    insertion_order: VecDeque<Digest>,
}

#[derive(Debug, Default)]
struct DigestEntry {
    names: BTreeSet<ImageRef>,
    size: Option<Bytes>,
}

impl TagIndex {
    /// Records that a name points to a digest. Returns whether that was new.
    pub(super) fn insert(&mut self, root: &Digest, name: &ImageRef, size: Option<Bytes>) -> bool {
        if !self.by_digest.contains_key(root) {
            self.insertion_order.push_back(root.clone());
            if self.insertion_order.len() > MAX_DIGESTS
                && let Some(oldest) = self.insertion_order.pop_front()
                && let Some(known) = self.by_digest.remove(&oldest)
            {
                for name in known.names {
                    if self.by_name.get(&name) == Some(&oldest) {
                        self.by_name.remove(&name);
                    }
                }
            }
        }
        let known = self.by_digest.entry(root.clone()).or_default();
        known.size = size.or(known.size);
        if known.names.contains(name) || known.names.len() >= MAX_NAMES {
            return false;
        }
        known.names.insert(name.clone());
        self.by_name.insert(name.clone(), root.clone());
        true
    }

    /// Reports whether the digest was seen under this name.
    pub(super) fn contains(&self, root: &Digest, name: &ImageRef) -> bool {
        let known = self.by_digest.get(root);
        known.is_some_and(|known| known.names.contains(name))
    }

    /// Returns the size of the image that was last seen under this name. The tag may have moved
    /// since.
    pub(super) fn size(&self, name: &ImageRef) -> Option<Bytes> {
        self.by_digest.get(self.by_name.get(name)?)?.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_evicts_oldest_digest_at_limit() {
        let mut index = TagIndex::default();
        let root = |number: usize| -> Digest { format!("sha256:{number:064x}").parse().unwrap() };
        let name = |number: usize| -> ImageRef { format!("r.io/app:{number}").parse().unwrap() };
        for number in 0..=MAX_DIGESTS {
            assert!(index.insert(&root(number), &name(number), Some(Bytes(7))));
        }
        assert!(!index.contains(&root(0), &name(0)));
        assert_eq!(index.size(&name(0)), None);
        assert!(index.contains(&root(1), &name(1)));
        assert_eq!(index.size(&name(1)), Some(Bytes(7)));
        assert_eq!((index.by_digest.len(), index.by_name.len()), (MAX_DIGESTS, MAX_DIGESTS));
        for tag in 0..2 * MAX_NAMES {
            index.insert(&root(1), &name(MAX_DIGESTS + 1 + tag), None);
        }
        assert_eq!(index.by_digest[&root(1)].names.len(), MAX_NAMES);
    }
}
