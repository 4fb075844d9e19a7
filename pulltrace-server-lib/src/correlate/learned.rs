//! Which names a digest was seen under, on any node: a pull shows its digest long before its name.

use std::collections::{BTreeSet, HashMap, VecDeque};

use pulltrace_core::{Bytes, Digest, ImageRef};

/// The most digests that are remembered; the one learned first goes.
const MAX_ROOTS: usize = 16_384;

/// The most names of one digest; further ones are not learned.
const MAX_NAMES: usize = 16;

/// What was learned of images.
#[derive(Debug, Default)]
pub(super) struct Learned {
    roots: HashMap<Digest, Known>,
    names: HashMap<ImageRef, Digest>,
    order: VecDeque<Digest>,
}

#[derive(Debug, Default)]
struct Known {
    names: BTreeSet<ImageRef>,
    size: Option<Bytes>,
}

impl Learned {
    /// Learns that a name points to a digest. Whether that is news.
    pub(super) fn learn(&mut self, root: &Digest, name: &ImageRef, size: Option<Bytes>) -> bool {
        if !self.roots.contains_key(root) {
            self.order.push_back(root.clone());
            if self.order.len() > MAX_ROOTS
                && let Some(oldest) = self.order.pop_front()
                && let Some(known) = self.roots.remove(&oldest)
            {
                for name in known.names {
                    if self.names.get(&name) == Some(&oldest) {
                        self.names.remove(&name);
                    }
                }
            }
        }
        let known = self.roots.entry(root.clone()).or_default();
        known.size = size.or(known.size);
        if known.names.contains(name) || known.names.len() >= MAX_NAMES {
            return false;
        }
        known.names.insert(name.clone());
        self.names.insert(name.clone(), root.clone());
        true
    }

    /// Whether the digest was seen under this name.
    pub(super) fn has(&self, root: &Digest, name: &ImageRef) -> bool {
        let known = self.roots.get(root);
        known.is_some_and(|known| known.names.contains(name))
    }

    /// What the image of this name weighs, where it was pulled before. A name may have been moved since.
    pub(super) fn size(&self, name: &ImageRef) -> Option<Bytes> {
        self.roots.get(self.names.get(name)?)?.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_learned_is_bounded_and_the_first_goes() {
        let mut learned = Learned::default();
        let root = |number: usize| -> Digest { format!("sha256:{number:064x}").parse().unwrap() };
        let name = |number: usize| -> ImageRef { format!("r.io/app:{number}").parse().unwrap() };
        for number in 0..=MAX_ROOTS {
            assert!(learned.learn(&root(number), &name(number), Some(Bytes(7))));
        }
        assert!(!learned.has(&root(0), &name(0)));
        assert_eq!(learned.size(&name(0)), None);
        assert!(learned.has(&root(1), &name(1)));
        assert_eq!(learned.size(&name(1)), Some(Bytes(7)));
        assert_eq!(
            (learned.roots.len(), learned.names.len()),
            (MAX_ROOTS, MAX_ROOTS)
        );
        for tag in 0..2 * MAX_NAMES {
            learned.learn(&root(1), &name(MAX_ROOTS + 1 + tag), None);
        }
        assert_eq!(learned.roots[&root(1)].names.len(), MAX_NAMES);
    }
}
